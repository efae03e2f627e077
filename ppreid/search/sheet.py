"""A picture of search results: a row for each query, the images found beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from ppreid.base.errors import DataError
from ppreid.datasets.image_file import load_image
from ppreid.disk.png_file import write_png
from ppreid.search.results import SearchResult, short_name

_GAP, _ROW_GAP, _QUERY_GAP = 6, 10, 18  # pixels between images, between rows, and behind the query
_LINE, _MARGIN = 13, 10  # height of a line of text, and the border of the sheet
_PAPER, _INK, _FAINT, _EMPTY = (255, 255, 255), (40, 40, 40), (120, 120, 120), (236, 236, 236)
_QUERY_FRAME = (0, 114, 178)
_SHEET_ROWS, _SHEET_COLUMNS = 12, 20  # more would not fit on a screen
_LONGEST = 80  # letters that are tried to fit


class Tile(NamedTuple):
    """An image with a few lines of text below it.

    Attributes:
        path: of the image.
        lines: the first is darker than the others; what is too wide is cut.
    """

    path: str
    lines: tuple[str, ...]


def write_sheet(path: Path, results: Sequence[SearchResult]) -> int:
    """Write a picture of the first results, with similarities, cameras and names.

    Args:
        path: .png file to write.
        results: of a search.

    Returns:
        How many of them are on it.

    Raises:
        DataError: there is no result.
        WriteError: the file cannot be written.
    """
    rows = [
        [
            Tile(result.query, ("query", result.camera, short_name(result.query, 12))),
            *(
                Tile(match.path, (f"{match.similarity:.3f}", match.camera, short_name(match.path, 12)))
                for match in result.matches[:_SHEET_COLUMNS]
            ),
        ]
        for result in results[:_SHEET_ROWS]
    ]
    write_png(path, result_sheet(rows))
    return len(rows)


def result_sheet(rows: Sequence[Sequence[Tile]], *, height: int = 160, width: int = 80) -> Image.Image:
    """Draw results; images keep their shape.

    Args:
        rows: for each query its own tile, in a blue frame, and those that were found.
        height: of an image in the sheet, in pixels.
        width: of an image in the sheet, in pixels.

    Returns:
        RGB image.

    Raises:
        DataError: there is no row.
    """
    if not rows:
        raise DataError("there is no search result to draw")
    num_lines = max((len(tile.lines) for row in rows for tile in row), default=0)
    cell_width, cell_height = width + _GAP, height + num_lines * _LINE + _ROW_GAP
    columns = max(map(len, rows))
    size = 2 * _MARGIN + columns * cell_width - _GAP + _QUERY_GAP, 2 * _MARGIN + len(rows) * cell_height - _ROW_GAP
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, row in enumerate(rows):
        for column, tile in enumerate(row):
            left = _MARGIN + column * cell_width + (_QUERY_GAP if column else 0)
            top = _MARGIN + index * cell_height
            sheet.paste(_picture(tile.path, (width, height)), (left, top))
            if column == 0:
                draw.rectangle((left - 3, top - 3, left + width + 2, top + height + 2), outline=_QUERY_FRAME, width=2)
            for number, line in enumerate(tile.lines):
                ink = _FAINT if number else _INK
                draw.text((left, top + height + 2 + number * _LINE), _fitting(line, width, draw), fill=ink)
    return sheet


def _picture(path: str, size: tuple[int, int]) -> Image.Image:
    """The image in the middle of a tile of this size; a crossed tile for one that can no longer be read."""
    tile = Image.new("RGB", size, _EMPTY)
    try:
        image = load_image(path)
    except DataError:
        draw = ImageDraw.Draw(tile)
        draw.line((0, 0, *size), fill=_FAINT)
        draw.line((0, size[1], size[0], 0), fill=_FAINT)
        return tile
    scale = min(size[0] / image.width, size[1] / image.height)
    shape = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    tile.paste(image.resize(shape, Image.Resampling.BICUBIC), ((size[0] - shape[0]) // 2, (size[1] - shape[1]) // 2))
    return tile


def _fitting(text: str, width: int, draw: ImageDraw.ImageDraw) -> str:
    """The text, or the first part of it that fits; letters that the font lacks become question marks."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST])
    text = printable.encode("latin-1", "replace").decode("latin-1")
    font = ImageFont.load_default()
    while text and draw.textlength(text, font=font) > width:
        text = text[:-1]
    return text
