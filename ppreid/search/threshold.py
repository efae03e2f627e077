"""How similar two images of one person are: the threshold of a network, which is kept beside its weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.reading import is_there
from ppreid.disk.files import write_text
from ppreid.disk.text import read_json
from ppreid.search.results import SearchResult

FORMAT, VERSION = "ppreid threshold", 1
THRESHOLD = "threshold.json"  # in the folder of a run, and in that of an index
SAME, UNSURE, OTHER = "same person", "not sure", "other"


class Threshold(NamedTuple):
    """Where a network's similarities tell people apart.

    Attributes:
        same: cosine from which on two images are one person, at the stated rate of false matches.
        other: cosine below which they are two; at most `same`.
        false_matches: share of the pairs of two people that are at least `same`.
        weights_sha256: of the network; the similarities of another mean something else.
        compared_by: what else decides them, by name: a share of colour, centring by camera, maps learned from tracks.
    """

    same: float
    other: float
    false_matches: float
    weights_sha256: str
    compared_by: Mapping[str, str] = MappingProxyType({})

    def verdict(self, similarity: float) -> str:
        """What a similarity says."""
        return SAME if similarity >= self.same else OTHER if similarity < self.other else UNSURE


def write_threshold(path: Path, threshold: Threshold) -> None:
    """Write a threshold.

    Raises:
        WriteError: it cannot be written.
    """
    content = {"format": FORMAT, "version": VERSION, **threshold._asdict()}
    content["compared_by"] = dict(threshold.compared_by)
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_threshold(
    path: Path, weights_sha256: str, compared_by: Mapping[str, str] = MappingProxyType({})
) -> Threshold | None:
    """Read the threshold of a network; None where there is none, or it is of another network or another comparison.

    Raises:
        DataError: the file is damaged.
    """
    if not is_there(path, DataError):
        return None
    content = read_json(path)
    if content.pop("format", None) != FORMAT or content.pop("version", None) != VERSION:
        raise DataError(f"{path} is no threshold of this ppreid; remove it, or make it anew (eval --without-labels)")
    try:
        found = Threshold(**content)
        is_right = -1 <= found.other <= found.same <= 1.5 and isinstance(found.weights_sha256, str)
        is_right = is_right and isinstance(found.compared_by, Mapping)
    except TypeError:
        is_right = False
    if not is_right:
        raise DataError(f"{path} is damaged; remove it, or make it anew (eval --without-labels)")
    return found if (found.weights_sha256, found.compared_by) == (weights_sha256, compared_by) else None


def judged(results: Sequence[SearchResult], threshold: Threshold | None) -> list[SearchResult]:
    """Results whose matches say what the threshold makes of their similarity; without a threshold as they were."""
    if threshold is None:
        return list(results)
    return [
        result._replace(
            matches=tuple(match._replace(verdict=threshold.verdict(match.similarity)) for match in result.matches)
        )
        for result in results
    ]
