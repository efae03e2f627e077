"""A picture of people as different cameras see them, to look at a data set."""

from collections import defaultdict
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord

_GAP, _CAMERA_GAP, _LABEL = 2, 8, 16  # pixels between images, between cameras, and of the line of text above
_PAPER, _INK, _EMPTY = (255, 255, 255), (60, 60, 60), (236, 236, 236)


def contact_sheet(
    records: Sequence[ImageRecord],
    *,
    identities: int = 6,
    images_per_camera: int = 2,
    height: int = 128,
    width: int = 64,
) -> Image.Image:
    """Arrange identities in rows and cameras in columns.

    Args:
        records: images with known identities and cameras, for example the training part.
        identities: number of rows; those that most cameras saw are taken, in the order of their numbers.
        images_per_camera: images beside each other in a cell; what does not exist stays empty.
        height: of an image in the sheet, in pixels.
        width: of an image in the sheet, in pixels.

    Returns:
        RGB image.

    Raises:
        DataError: no image has both a known identity and a known camera.
    """
    cells: dict[tuple[int, int], list[str]] = defaultdict(list)
    for path, pid, camid, *_ in records:
        if pid > 0 and camid >= 0:
            cells[pid, camid].append(path)
    if not cells:
        raise DataError(
            f"none of the {len(records):,} images has a known identity and a known camera; "
            "a sheet needs images such as those of the training part"
        )
    cameras = sorted({camid for _, camid in cells})
    seen_by = {pid: sum((pid, camid) in cells for camid in cameras) for pid, _ in cells}
    rows = sorted(sorted(seen_by, key=lambda pid: (-seen_by[pid], pid))[:identities])
    cell_width = images_per_camera * (width + _GAP) + _CAMERA_GAP
    size = len(cameras) * cell_width - _CAMERA_GAP - _GAP, _LABEL + len(rows) * (height + _GAP) - _GAP
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, camid in enumerate(cameras):
        draw.text((column * cell_width, 2), f"camera {camid + 1}", fill=_INK)
        for row, pid in enumerate(rows):
            for index in range(images_per_camera):
                corner = column * cell_width + index * (width + _GAP), _LABEL + row * (height + _GAP)
                sheet.paste(_tile(cells.get((pid, camid), []), index, (width, height)), corner)
    return sheet


def _tile(paths: Sequence[str], index: int, size: tuple[int, int]) -> Image.Image:
    if index >= len(paths):
        return Image.new("RGB", size, _EMPTY)
    with Image.open(paths[index]) as image:
        return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
