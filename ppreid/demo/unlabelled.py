"""Images of known people as crops of which nobody says whom they show."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ppreid.base.errors import DataError, WriteError
from ppreid.base.records import ImageRecord
from ppreid.disk.places import temporary_folder


def copy_unlabelled(records: Sequence[ImageRecord], folder: Path, *, seed: int = 0) -> bool:
    """Copy images into one subfolder for each camera, with names and in an order that do not tell the people.

    Args:
        records: images with known cameras.
        folder: to make, e.g. data/crops; it gets camera1/000000.jpg and so on.
        seed: of the order.

    Returns:
        Whether anything was copied; not when the folder holds these names already.

    Raises:
        DataError: the folder holds something else.
        WriteError: it cannot be written.
    """
    order = np.random.default_rng(seed).permutation(len(records))
    sources = {
        f"camera{records[row].camid + 1}/{number:06d}{Path(records[row].path).suffix}": records[row].path
        for number, row in enumerate(order)
    }
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if found == set(sources):
        return False
    if found:
        raise DataError(f"{folder} is not empty and does not hold these images; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder) as holder:
            temporary = holder / folder.name
            for name, source in sources.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, temporary / name)
            if folder.exists():
                folder.rmdir()  # it is empty
            temporary.rename(folder)
    except OSError as error:
        text = f"the images cannot be copied to {folder}: {error}; choose another folder"
        raise WriteError(error.errno, text) from error
    return True
