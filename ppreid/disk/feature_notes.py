"""OUT.npy.progress: rows of a file of features that are on the disk, their SHA-256, and what they were made from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import DataError
from ppreid.disk.files import write_text
from ppreid.disk.text import MAX_DIGITS, read_json


class FeatureNotes(NamedTuple):
    """What is noted.

    Attributes:
        rows: on the disk.
        sha256: of the header and those rows.
        origin: what decides the numbers (weights, images, ...), by name.
    """

    rows: int
    sha256: str
    origin: dict[str, str]


def write_notes(path: Path, rows: int, digest: "hashlib._Hash", origin: Mapping[str, str]) -> None:
    """Write notes, see `FeatureNotes`."""
    write_text(path, json.dumps({"rows": rows, "sha256": digest.hexdigest(), **origin}) + "\n")


def read_notes(path: Path) -> FeatureNotes:
    """What an earlier call noted.

    Raises:
        DataError: it is damaged.
    """
    origin = read_json(path)
    found = FeatureNotes(origin.pop("rows", None), origin.pop("sha256", None), origin)
    if type(found.rows) is not int or not 0 <= found.rows < 10**MAX_DIGITS or not isinstance(found.sha256, str):
        raise DataError(f"{path} is damaged: rows is {found.rows!r:.40}, sha256 is {found.sha256!r:.40}")
    return found
