"""CSV files about images, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ppreid.disk.files import write_text

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
