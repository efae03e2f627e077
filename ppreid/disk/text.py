"""Lists and tables that strangers wrote, with whatever editor and on whatever system.

Every text file that is not ppreid's alone is read through here: a byte-order mark and Windows' line ends are no part of
the text, and what cannot be meant (another encoding, NUL bytes, endless lines) is refused with file and line.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.reading import is_there, reading

MAX_LINE = 1 << 16  # letters of a line in a list or table: sixteen times the longest path of any system
MAX_PATH, MAX_NAME = 4096, 255  # bytes of a path and of each of its parts; the limits of Linux
MAX_ROW = 4 * MAX_PATH  # bytes of a row in the mean: a path that is all quotation marks has half of it
MANY_ROWS = 1 << 20  # bytes that are read of a table of any length, for messages that say more about it
MAX_JSON = 4 << 20  # bytes: an index of 10,000 parts has half of it, and Python needs some 50 times as many in memory
MAX_DIGITS = 18  # of an identity or a camera: what is certain to fit into int64

_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_OLD_ENCODINGS = ("GB18030", "Shift-JIS", "Windows-1252")  # what editors write where UTF-8 is not the default
_WHOLE = re.compile(rf"(-?)0*(\d{{1,{MAX_DIGITS}}})(\.0*)?")


class Row(NamedTuple):
    """One row of a CSV.

    Attributes:
        line: number of its last line in the file, from 1.
        cells: text by column.
    """

    line: int
    cells: Mapping[str, str]


def read_text(
    path: Path, *, any_names: bool = False, max_line: int | None = MAX_LINE, max_bytes: int | None = None
) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark; line ends stay as they are.

    Args:
        path: the file.
        any_names: names of files in it need not be UTF-8; other bytes become surrogates, as in `os.fsdecode`.
        max_line: letters of the longest line that can be meant; None for text whose lines mean nothing (JSON).
        max_bytes: of the largest file that can be meant; None for any.

    Raises:
        DataError: the file cannot be read, is too large or no regular file, has another encoding, a NUL byte or
            too long a line; with the line.
    """
    is_there(path, DataError)  # says what is no file; one that is missing is noticed when it is opened
    with reading(path, DataError), open(path, "rb") as file:
        content = file.read(-1 if max_bytes is None else max_bytes + 1)
    if max_bytes is not None and len(content) > max_bytes:
        raise DataError(f"{path} has more than {max_bytes:,} bytes; it cannot be what its name says")
    encoding = next((name for mark, name in _OTHER_MARKS.items() if content.startswith(mark)), None)
    if encoding:
        raise DataError(f"{path} is in {encoding}; save it as UTF-8")
    if (place := content.find(0)) >= 0:
        raise DataError(f"{path}:{_line_of(content, place)}: there is a NUL byte; it is no text file, or damaged")
    try:
        text = content.decode("utf-8-sig", "surrogateescape" if any_names else "strict")
    except UnicodeDecodeError as error:
        place, likely = error.start, " or ".join(filter(lambda name: _is_in(content, name), _OLD_ENCODINGS))
        guess = f"perhaps it is in {likely}; " if likely else ""
        where = f"{path}:{_line_of(content, place)}"
        raise DataError(f"{where}: byte {content[place]:#04x} is not UTF-8; {guess}save it as UTF-8") from None
    if max_line and len(text) > max_line:
        for number, line in enumerate(text.split("\n"), start=1):
            if len(line) > max_line:
                raise DataError(f"{path}:{number}: the line has {len(line):,} letters, more than {max_line:,}")
    return text


def read_json(path: Path, *, max_bytes: int = MAX_JSON) -> dict[str, Any]:
    """Read the keys and values of a JSON file.

    Args:
        path: the file.
        max_bytes: see `read_text`.

    Raises:
        DataError: see `read_text`; or it is no JSON, nested too deeply, or holds something else than keys and values.
    """
    text = read_text(path, max_line=None, max_bytes=max_bytes)
    try:
        found = json.loads(text)
    except RecursionError:
        raise DataError(f"{path} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: it holds {type(found).__name__}, not keys and values")
    return found


def read_text_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a list that hold anything, with their numbers from 1, without blanks around them.

    Raises:
        DataError: see `read_text`.
    """
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_csv(path: Path, columns: Sequence[str], *, most_rows: int | None = None) -> list[Row]:
    """Read a CSV that ppreid wrote and that people may have edited; names of files need not be UTF-8.

    Args:
        path: the file.
        columns: those that it must have; the first line names all.
        most_rows: that there can be, which limits what is read; None for any number.

    Raises:
        DataError: see `read_text`; or a column is missing, or a row has another number of cells; with the line.
    """
    most_bytes = None if most_rows is None else MANY_ROWS + most_rows * MAX_ROW
    reader = csv.reader(io.StringIO(read_text(path, any_names=True, max_bytes=most_bytes), newline=""))
    rows = _filled(reader, path)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"{path}:1: there is no column {missing[0]!r}; the columns are {', '.join(header)!r}")
    found = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}:{line}: {len(cells)} cells, but {len(header)} columns")
        found.append(Row(line, dict(zip(header, cells, strict=True))))
    return found


def whole_number(text: str) -> int | None:
    """An identity, camera or cluster as it stands in a table; spreadsheets write 1 as 1.0.

    Args:
        text: what was found.

    Returns:
        The number; None where there is none, or one of more than `MAX_DIGITS` digits.
    """
    match = _WHOLE.fullmatch(text.strip())
    return int(match[1] + match[2]) if match else None


def cell_number(row: Row, column: str, path: Path) -> int:
    """The whole number in a cell; an empty cell is -1, unknown.

    Raises:
        DataError: there is something else; with the line.
    """
    text = row.cells[column].strip()
    number = whole_number(text) if text else -1
    if number is None:
        wanted = f"a whole number of at most {MAX_DIGITS} digits"
        raise DataError(f"{path}:{row.line}: {column} is {text[:40]!r}; expected {wanted}")
    return number


def listed_path(text: str, root: Path, place: str) -> str:
    r"""The file that a line of a list means.

    Args:
        text: absolute path, or one below root. It is taken as it is written if there is such a file; otherwise without
            blanks around it and with \ between folders as Windows writes it.
        root: folder that relative paths start from.
        place: file and line of the list, for the message.

    Raises:
        DataError: no system can have such a path.
    """
    plain = text.strip().replace("\\", "/")
    found = str(root / text) if plain == text or os.path.lexists(root / text) else str(root / plain)
    longest = max(len(os.fsencode(part)) for part in found.split("/"))
    if len(os.fsencode(found)) > MAX_PATH or longest > MAX_NAME:
        raise DataError(f"{place}: the path {found[:80]!r}... has {len(found):,} letters; no file can be called that")
    return found


def _filled(reader: Iterator[list[str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of the rows that are not empty."""
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells  # type: ignore[attr-defined]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from None  # type: ignore[attr-defined]


def _line_of(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def _is_in(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
