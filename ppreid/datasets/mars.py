"""MARS: crops of tracks, about forty images for each.

Reference:
    Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-identification", ECCV 2016.
"""

import os
import re
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.reading import complete, gathered
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.datasets.folder_layout import JUNK_PID, describe_entries, find_dataset_folder, raise_if_unparsed
from ppreid.datasets.image_folder import scan_folder
from ppreid.disk.text import MAX_DIGITS

MARS_NAMES = ("MARS", "mars", "MARS-v160809")
LAYOUT = ("bbox_train", "bbox_test")
FRAME_RATE = 25.0  # of its cameras
_NUMBER = rf"\d{{1,{MAX_DIGITS}}}"
_NAME = re.compile(rf"(00-1|{_NUMBER})C0*([1-9]\d{{0,{MAX_DIGITS - 1}}})T({_NUMBER})F({_NUMBER})\.\w+$")


class _Image(NamedTuple):
    """An image with the numbers in its name; in this order images are sorted."""

    pid: int
    camid: int
    track: int
    frame: int
    path: str


def read_mars(root: Path) -> ReIDSplit:
    """Read MARS, or a part of it.

    Args:
        root: folder that holds `MARS`, or that folder itself, with `bbox_train` and `bbox_test`. Their images, in any
            subfolders, are named as in `0001C1T0001F001.jpg`: person 1, camera 1, track 1 of that person in that
            camera, frame 1 of the track.

    Returns:
        The records. The time of an image counts from the beginning of its track, and says nothing about other tracks.
        Junk (00-1) is dropped, distractors (0) stay in the gallery.

    Raises:
        DataError: the data set is not there or not complete, or a file name does not parse.

    Note:
        The published protocol compares tracks; here images are compared. Of every person who is seen by several
        cameras in `bbox_test` the first image in each camera is a query, and all others are the gallery.
    """
    folder, layout = find_dataset_folder(root, title="MARS", names=MARS_NAMES, layouts=(LAYOUT,))
    problems: list[str] = []
    train, test = (gathered(problems, partial(_images, folder / name), list[_Image]()) for name in layout)
    names = {name: number for number, name in enumerate(sorted({image[:3] for image in [*train, *test]}))}

    def record(image: _Image) -> ImageRecord:
        return ImageRecord(image.path, image.pid, image.camid, names[image[:3]], image.frame / FRAME_RATE)

    cameras = {pid: {image.camid for image in own} for pid, own in groupby(test, key=lambda image: image.pid)}
    first = {next(own) for _, own in groupby(test, key=lambda image: image[:2])}
    query = {image for image in first if image.pid > 0 and len(cameras[image.pid]) > 1}
    parts = (train, [image for image in test if image in query], [image for image in test if image not in query])
    return complete(problems, ReIDSplit(*(tuple(map(record, part)) for part in parts)))


def _images(folder: Path) -> list[_Image]:
    """Images of a folder and its subfolders, sorted by the numbers in their names."""
    found, unparsed = [], []
    for name in scan_folder(folder).names:
        if match := _NAME.fullmatch(os.path.basename(name)):
            pid, camera, track, frame = (JUNK_PID if text == "00-1" else int(text) for text in match.groups())
            found.append(_Image(pid, camera - 1, track, frame, os.path.join(folder, name)))
        else:
            unparsed.append(name)
    images = sorted(image for image in found if image.pid != JUNK_PID)
    raise_if_unparsed(unparsed, folder, "0001C1T0001F001.jpg", images)
    if not images:
        raise DataError(f"no image to use in {folder.absolute()}; {describe_entries(folder)}")
    return images
