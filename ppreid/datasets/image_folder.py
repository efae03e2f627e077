"""Any folder of images, about which nothing else is known."""

import os
from pathlib import Path

from ppreid.datasets.folder_layout import describe_entries, is_image_name
from ppreid.errors import DataError
from ppreid.records import ImageRecord


def find_images(folder: Path) -> tuple[ImageRecord, ...]:
    """Images of a folder and its subfolders.

    Hidden files and folders, and files that are no images by their suffix, are ignored; links to folders are not
    followed.

    Args:
        folder: where to look.

    Returns:
        One record per image, sorted by path; identity and camera are -1, unknown.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    paths = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [os.path.join(place, name) for name in names if is_image_name(name)]
    if not paths:
        raise DataError(f"no image to use in {folder.absolute()}; {describe_entries(folder)}")
    return tuple(ImageRecord(path, pid=-1, camid=-1) for path in sorted(paths))
