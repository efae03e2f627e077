"""What people wear, by colour alone: a feature without any training, which a network has to beat.

The middle half of a crop, where the person is, in horizontal stripes, since height tells shirt from trousers; of
each stripe the square root of its colour histogram. The cosine of two such features is the mean Bhattacharyya
coefficient of the stripes.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from ppreid.base.progress import progress
from ppreid.base.records import ImageRecord
from ppreid.datasets.image_file import load_image

STRIPES = 6
BINS = (8, 4, 4)  # hue, saturation, value
COLOUR_DIM = STRIPES * BINS[0] * BINS[1] * BINS[2]


def colour_stripes(image: Image.Image) -> np.ndarray:
    """Colour of the stripes of one image.

    Args:
        image: RGB, of any size.

    Returns:
        (768,) float32, of length 1, all entries at least 0. An image of fewer than six rows has stripes without pixels,
        which are zeros.
    """
    pixels = np.asarray(image.convert("HSV")).astype(np.int64)  # (H, W, 3), each 0 to 255
    width = pixels.shape[1]
    pixels = pixels[:, width // 4 : width - width // 4]
    hue, saturation, value = (pixels[..., each] * bins // 256 for each, bins in enumerate(BINS))
    codes = (hue * BINS[1] + saturation) * BINS[2] + value  # (H, W / 2)
    size = COLOUR_DIM // STRIPES
    counts = [np.bincount(stripe.ravel(), minlength=size) for stripe in np.array_split(codes, STRIPES)]
    stripes = np.concatenate([np.sqrt(count / max(1, count.sum())) for count in counts])
    return (stripes / np.linalg.norm(stripes)).astype(np.float32)


def colour_features(
    records: Sequence[ImageRecord],
    *,
    num_workers: int = 4,
    description: str = "colour",
    held: Mapping[int, Image.Image] | None = None,
) -> np.ndarray:
    """Colour of the stripes of many images.

    Args:
        records: (N,) images.
        num_workers: threads; decoding does not hold Python's lock.
        description: for the progress display.
        held: images by row that are in memory, and not in the files of their records.

    Returns:
        (N, 768) float32 unit rows.

    Raises:
        DataError: an image cannot be read.
    """
    features, held = np.empty((len(records), COLOUR_DIM), dtype=np.float32), held or {}

    def of_row(row: int) -> np.ndarray:
        return colour_stripes(held[row] if row in held else load_image(records[row].path))

    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        found = pool.map(of_row, range(len(records)))
        for row, feature in enumerate(progress(found, total=len(records), description=description)):
            features[row] = feature
    return features
