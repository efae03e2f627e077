"""Market-1501, and the generated demo set, which has the same layout and names.

Reference:
    Zheng et al., "Scalable person re-identification: a benchmark", ICCV 2015.
"""

from pathlib import Path

from ppreid.base.records import ReIDSplit
from ppreid.datasets.folder_layout import BOUNDING_BOX_LAYOUT, find_dataset_folder, read_split
from ppreid.datasets.summary import PartCounts, PublishedCounts

FOLDER_NAMES = (
    "Market-1501-v15.09.15",
    "market1501/Market-1501-v15.09.15",
    "market1501",
    "Market1501",
    "market-1501",
    "Market-1501",
)

# bounding_box_test has 19,732 images: 13,115 of the 750 test identities, 2,798 distractors (0000_*) and 3,819 junk
# images (-1_*), which the protocol leaves out. Code that counts the distractors as a person reports 751 identities.
MARKET1501_COUNTS = PublishedCounts(
    train=PartCounts(751, 12_936, 6),
    query=PartCounts(750, 3_368, 6),
    gallery=PartCounts(750, 15_913, 6),
)


def read_market1501(root: Path) -> ReIDSplit:
    """Read Market-1501.

    Args:
        root: folder that holds `Market-1501-v15.09.15`, or that folder itself.

    Returns:
        The records; junk (-1) is dropped, distractors (0) stay in the gallery.

    Raises:
        DataError: the data set is not there or not complete, or a file name does not parse.
    """
    folder, layout = find_dataset_folder(root, title="Market-1501", names=FOLDER_NAMES, layouts=(BOUNDING_BOX_LAYOUT,))
    return read_split(folder, layout)


def read_demo(root: Path) -> ReIDSplit:
    """Read the generated demo set.

    Args:
        root: folder that holds `demo`, or that folder itself.

    Returns:
        The records.

    Raises:
        DataError: the data set is not there or not complete, or a file name does not parse.
    """
    folder, layout = find_dataset_folder(root, title="demo", names=("demo",), layouts=(BOUNDING_BOX_LAYOUT,))
    return read_split(folder, layout)
