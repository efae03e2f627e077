"""CSV files about images, safe to open in a spreadsheet."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ppreid.base.errors import DataError
from ppreid.disk.files import write_text
from ppreid.disk.text import Row

_UNKNOWN = re.compile(r"-1(\.0*)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what makes a spreadsheet run a cell as a formula


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows completely or not at all.

    Args:
        path: file to write.
        header: names of the columns.
        rows: cells; every text is the path of an image, and is written such that no spreadsheet takes it for a formula.

    Raises:
        WriteError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([without_formula(cell) if isinstance(cell, str) else cell for cell in row])
    write_text(path, text.getvalue())


def without_formula(path: str) -> str:
    """The same path, beginning with "./" if it would be a formula: "=cmd().jpg" becomes "./=cmd().jpg"."""
    return f"./{path}" if path.startswith(_FORMULA) else path


def cell_seconds(row: Row, column: str, path: Path) -> float:
    """The time in a cell; an empty cell, or -1, is -1, unknown.

    Raises:
        DataError: there is something else; with the line.
    """
    text = row.cells[column].strip()
    time = seconds(text) if text and not _UNKNOWN.fullmatch(text) else -1.0
    if time is None:
        raise DataError(f"{path}:{row.line}: {column} is {text[:40]!r}; expected seconds, a number of at least 0")
    return time


def seconds(text: str) -> float | None:
    """A finite number of at least 0; None where there is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
