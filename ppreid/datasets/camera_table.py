"""CSV files that say which camera took an image, and who is on it."""

import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.reading import complete, first_few, gathered
from ppreid.disk.text import listed_path, read_text

_CAMERA_COLUMNS, _IDENTITY_COLUMNS = ("camera", "camid"), ("pid", "identity")
_DELIMITERS = ",;\t"
_SPREADSHEET_NUMBER = re.compile(r"^(-?\d+)\.0+$")


class NamedImage(NamedTuple):
    """An image with the names that files or people gave to its camera and identity.

    Attributes:
        path: of the file.
        camera: name of the camera; empty is unknown.
        pid: name of the identity; empty is unknown.
    """

    path: str
    camera: str
    pid: str


def natural_order(name: str) -> tuple[list[object], str]:
    """Sort key with which "cam2" comes before "cam10"."""
    parts = re.split(r"(\d+)", name)  # text and digits in turn
    numbers = [digits.lstrip("0") for digits in parts[1::2]]
    pairs = zip(parts[::2], [*numbers, ""], strict=True)
    return [item for text, number in pairs for item in (text, len(number), number)], name


def read_camera_table(file: Path, root: Path) -> list[NamedImage]:
    """Read a CSV with a header and the columns path, camera (or camid) and, if known, pid (or identity).

    The fields may be separated by commas, semicolons or tabs. Cameras and identities are names, not only numbers; empty
    and -1 mean unknown, and 1.0, as spreadsheets write it, is 1. Further columns are ignored.

    Args:
        file: the CSV, UTF-8.
        root: folder that relative paths start from; between folders there may be Windows' backslash.

    Returns:
        One image per line, sorted by path.

    Raises:
        DataError: the file cannot be read, or lists nothing.
        EntriesError: lines are wrong; the message has the numbers of the first ones.
    """
    problems: list[str] = []
    images = list(_images(io.StringIO(read_text(file), newline=""), file, root, problems))
    complete(first_few(problems, f"lines of {file} are wrong"), sorted(images))
    if not images:
        raise DataError(f"{file} lists no image; it needs a line with a path for each")
    return sorted(images)


def _images(text: Iterator[str], file: Path, root: Path, problems: list[str]) -> Iterator[NamedImage]:
    """Images of the lines that are right; what is wrong with the others is added to the problems."""
    header = next(text, "")
    delimiter = max(_DELIMITERS, key=header.count)
    columns = [name.strip().strip('"').lower() for name in header.rstrip("\r\n").split(delimiter)]
    path, camera, pid = (_column(columns, names) for names in (("path",), _CAMERA_COLUMNS, _IDENTITY_COLUMNS))
    if path is None or (camera is None and pid is None):
        raise DataError(
            f"{file}:1: the columns are {', '.join(columns)!r}; expected path, camera and, if identities are known, pid"
        )
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    first_lines: dict[str, int] = {}
    try:
        for row in reader:
            line = 1 + reader.line_num  # of the end of the row; the header was taken before
            if not row:
                continue
            if len(row) != len(columns):
                problems.append(f"{file}:{line}: {len(row)} fields, but the header has {len(columns)}: {row}")
            elif not row[path].strip():
                problems.append(f"{file}:{line}: the path is empty")
            elif found := gathered(problems, partial(listed_path, row[path], root, f"{file}:{line}"), ""):
                if found in first_lines:
                    problems.append(f"{file}:{line}: {row[path]} is listed twice, first in line {first_lines[found]}")
                    continue
                first_lines[found] = line
                yield NamedImage(found, *("" if column is None else _known(row[column]) for column in (camera, pid)))
    except csv.Error as error:  # where the next line begins is not known
        problems.append(f"{file}:{1 + reader.line_num}: {error}")


def _column(columns: list[str], names: tuple[str, ...]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def _known(text: str) -> str:
    """A name; -1 means unknown, as in the CSV beside a file of features."""
    name = _SPREADSHEET_NUMBER.sub(r"\1", text.strip())
    return "" if name == "-1" else name
