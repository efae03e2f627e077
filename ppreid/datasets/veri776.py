"""VeRi-776: vehicles instead of persons, same method and same evaluation.

Reference:
    Liu et al., "A deep learning-based approach to progressive vehicle re-identification for urban surveillance",
    ECCV 2016.
"""

from pathlib import Path

from ppreid.base.records import ReIDSplit
from ppreid.datasets.folder_layout import find_dataset_folder, read_split
from ppreid.datasets.summary import PartCounts, PublishedCounts

FOLDER_NAMES = ("VeRi", "VeRi-776", "VeRi776", "veri", "veri776", "veri-776")
LAYOUT = ("image_train", "image_query", "image_test")

# 20 cameras in all; one of them contributes no test image.
VERI776_COUNTS = PublishedCounts(
    train=PartCounts(576, 37_778, 20),
    query=PartCounts(200, 1_678, 19),
    gallery=PartCounts(200, 11_579, 19),
)


def read_veri776(root: Path) -> ReIDSplit:
    """Read VeRi-776.

    Args:
        root: folder that holds `VeRi`, or that folder itself.

    Returns:
        The records; pid is the vehicle.

    Raises:
        DataError: the data set is not there or not complete, or a file name does not parse.
    """
    folder, layout = find_dataset_folder(root, title="VeRi-776", names=FOLDER_NAMES, layouts=(LAYOUT,))
    return read_split(folder, layout)
