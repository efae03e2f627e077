"""MSMT17 in the layouts that people have: as released (V1 and V2, with list files) and converted to Market-1501's.

Reference:
    Wei et al., "Person transfer GAN to bridge domain gap for person re-identification", CVPR 2018.
"""

import re
from functools import partial
from pathlib import Path

from ppreid.base.errors import DataError
from ppreid.base.reading import complete, first_few, gathered
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.datasets.folder_layout import BOUNDING_BOX_LAYOUT, find_dataset_folder, raise_if_unparsed, read_split
from ppreid.datasets.summary import PartCounts, PublishedCounts
from ppreid.disk.text import MAX_DIGITS, listed_path, read_text_lines

FOLDER_NAMES = (
    "MSMT17_V1",
    "MSMT17_V2",
    "MSMT17",
    "msmt17",
    "msmt17/MSMT17_V1",
    "msmt17/MSMT17_V2",
    "MSMT17/MSMT17_V1",
    "MSMT17/MSMT17_V2",
)
LIST_FILES = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
LIST_LAYOUTS = (("train", "test", *LIST_FILES), ("mask_train_v2", "mask_test_v2", *LIST_FILES))

# Training images are those of list_train (30,248) and list_val (2,373) together, as in all published results.
MSMT17_COUNTS = PublishedCounts(
    train=PartCounts(1_041, 32_621, 15),
    query=PartCounts(3_060, 11_659, 15),
    gallery=PartCounts(3_060, 82_161, 15),
)

# MSMT17 counts its identities from 0, which in a gallery means "distractor" elsewhere (see ImageRecord).
_PID_OFFSET = 1

_LINE_PATTERN = re.compile(rf"(\S+)\s+(\d{{1,{MAX_DIGITS}}})")
_CAMERA_PATTERN = re.compile(
    rf"\d+_\d+_0*([1-9]\d{{0,{MAX_DIGITS - 1}}})_"
)  # 0000_000_01_0303morning_0015_0.jpg is camera 1


def read_msmt17(root: Path) -> ReIDSplit:
    """Read MSMT17.

    Args:
        root: folder that holds `MSMT17_V1` or `MSMT17_V2`, or that folder itself.

    Returns:
        The records; pid is the number of the data set plus one.

    Raises:
        DataError: the data set is not there or not complete, or a file name or a line of a list does not parse.
    """
    folder, layout = find_dataset_folder(
        root, title="MSMT17", names=FOLDER_NAMES, layouts=(BOUNDING_BOX_LAYOUT, *LIST_LAYOUTS)
    )
    if layout == BOUNDING_BOX_LAYOUT:
        return read_split(folder, layout, pid_offset=_PID_OFFSET)
    train_images, test_images = folder / layout[0], folder / layout[1]
    problems: list[str] = []
    readers = [
        partial(read_list, folder / name, train_images if name in LIST_FILES[:2] else test_images)
        for name in LIST_FILES
    ]
    train, val, query, gallery = (gathered(problems, read, tuple[ImageRecord, ...]()) for read in readers)
    parts = [tuple(sorted(part)) for part in (train + val, query, gallery)]
    return complete(problems, ReIDSplit(*parts))


def read_list(list_file: Path, image_folder: Path) -> tuple[ImageRecord, ...]:
    """Read one list file with a line `<path> <identity>` per image; its paths may be those of Windows.

    Args:
        list_file: the list, for example list_query.txt.
        image_folder: folder that its paths are relative to.

    Returns:
        One record per line, in the order of the file.

    Raises:
        DataError: the file is no text in UTF-8, or there is no line.
        EntriesError: a line does not parse, or its path cannot be.
    """
    records, unparsed, problems = [], [], list[str]()
    for number, line in read_text_lines(list_file):
        entry = _LINE_PATTERN.fullmatch(line)
        place = f"{list_file}:{number}"
        path = gathered(problems, partial(listed_path, entry[1], image_folder, place), "") if entry else ""
        camera = _CAMERA_PATTERN.match(path.rpartition("/")[2])
        if entry and camera:
            records.append(ImageRecord(path, int(entry[2]) + _PID_OFFSET, int(camera[1]) - 1))
        elif path or not entry:
            unparsed.append(line)
    example = "0000/0000_000_01_0303morning_0015_0.jpg 0"
    gathered(problems, lambda: raise_if_unparsed(unparsed, list_file, example, ()), None)
    complete(first_few(problems, f"lines of {list_file}"), tuple(records))
    if not records:
        raise DataError(f"{list_file.absolute()} lists no image; download it again")
    return tuple(records)
