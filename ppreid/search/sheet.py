"""A picture of search results: a row for each query, the images found beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from ppreid.base.errors import DataError, printable
from ppreid.base.numbers import clock, fixed, moment
from ppreid.datasets.image_file import load_image
from ppreid.disk.outputs import write_png
from ppreid.search.letters import drawable, fitting, font_for
from ppreid.search.results import SearchResult

_GAP, _ROW_GAP, _QUERY_GAP = 6, 10, 18  # pixels between images, between rows, and behind the query
_LINE, _MARGIN = 14, 10  # height of a line of text, and the border of the sheet
_PAPER, _INK, _FAINT, _EMPTY = (255, 255, 255), (40, 40, 40), (120, 120, 120), (236, 236, 236)
_QUERY_FRAME = (0, 114, 178)
_SHEET_ROWS, _SHEET_COLUMNS = 12, 20  # more would not fit on a screen


class Tile(NamedTuple):
    """An image with a few lines of text below it.

    Attributes:
        path: of the image.
        lines: the first is darker than the others; of what is too wide the middle is cut.
    """

    path: str
    lines: tuple[str, ...]


def write_sheet(path: Path, results: Sequence[SearchResult]) -> int:
    """Write a picture of the first results, with similarities, cameras, names and, where known, times.

    Args:
        path: .png file to write.
        results: of a search.

    Returns:
        How many of them are on it.

    Raises:
        DataError: there is no result.
        WriteError: the file cannot be written.
    """
    shown = [result._replace(matches=result.matches[:_SHEET_COLUMNS]) for result in results[:_SHEET_ROWS]]
    cameras = sorted({name for result in shown for name in (result.camera, *(m.camera for m in result.matches))})
    stems = sorted({Path(name).stem for result in shown for name in (result.query, *(m.path for m in result.matches))})
    font, lacking = font_for([*map(printable, cameras), *map(printable, stems)])
    camera = dict(zip(cameras, drawable(list(map(printable, cameras)), lacking, what="camera"), strict=True))
    name = dict(zip(stems, drawable(list(map(printable, stems)), lacking, what="image"), strict=True))

    def tile(heading: str, path: str, of: str, time: float) -> Tile:
        return Tile(path, (heading, camera[of], name[Path(path).stem], *_when(time)))

    rows = [
        [
            tile("query", result.query, result.camera, result.time),
            *(tile(fixed(match.similarity, 3), match.path, match.camera, match.time) for match in result.matches),
        ]
        for result in shown
    ]
    write_png(path, result_sheet(rows, font=font))
    return len(rows)


def result_sheet(
    rows: Sequence[Sequence[Tile]],
    *,
    font: Any,  # noqa: ANN401 - Pillow has two classes of fonts
    height: int = 160,
    width: int = 80,
) -> Image.Image:
    """Draw results; images keep their shape.

    Args:
        rows: for each query its own tile, in a blue frame, and those that were found.
        font: of the lines, see `font_for`.
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
                place = left, top + height + 2 + number * _LINE
                draw.text(place, fitting(line, width, font), fill=ink, font=font)
    return sheet


def _when(seconds: float) -> list[str]:
    """Lines of a time: the day and the time of day do not fit into one."""
    return clock(seconds).split() or [moment(seconds)] * (seconds >= 0)


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
