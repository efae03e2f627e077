"""Inverted lists: images by their nearest k-means centre, and the numbers that pseudo labels and search share."""

import math
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import DataError

# Lists that an image is compared with. Of 50,000 generated images 32 of 894 lists found 0.93 of the true ten nearest, 8
# found 0.85 (benchmarks/search.py); docs/scaling.md has the recall of pseudo labels at larger sizes.
DEFAULT_PROBES = 32


class Learning(NamedTuple):
    """How thoroughly k-means looks for the centres.

    Attributes:
        images_per_list: size of the sample that it learns from, divided by the number of lists.
        rounds: of k-means.
    """

    images_per_list: int
    rounds: int


# Pseudo labels learn lists anew in every epoch, and look at the neighbours of neighbours afterwards: the time counts.
EVERY_EPOCH = Learning(images_per_list=32, rounds=6)
# An index is made once and asked many times. At 50,000 images its lists take three times as long to learn, and find
# 0.92 instead of 0.90 of the true neighbours (benchmarks/search.py).
ONCE = Learning(images_per_list=64, rounds=10)


def default_num_lists(num_images: int) -> int:
    """Number of lists for a set of images: about 4 * sqrt(N).

    The time of a search grows with the centres, L, and with the members of the probed lists, P * N / L: their sum is
    least where L is of the order of sqrt(N).

    Example:
        >>> [default_num_lists(num_images) for num_images in (9, 100, 1_000_000)]
        [9, 40, 4000]
    """
    return max(1, min(num_images, round(4 * math.sqrt(num_images))))


def usable_lists(num_lists: int | None, num_probes: int, *, num_images: int) -> tuple[int, int]:
    """Numbers of lists and of probes for a set of images.

    Args:
        num_lists: number of lists; None is `default_num_lists`.
        num_probes: lists that an image is compared with.
        num_images: N.

    Returns:
        Both; an image cannot be compared with more lists than there are.

    Raises:
        DataError: a number is not positive, or there would be more lists than images.
    """
    num_lists = num_lists or default_num_lists(num_images)
    if num_probes < 1 or not 1 <= num_lists <= num_images:
        raise DataError(
            f"num_lists is {num_lists} and num_probes {num_probes}; both must be positive, and num_lists at most the "
            f"number of images, {num_images}"
        )
    return num_lists, min(num_probes, num_lists)


def learn_centres(features: np.ndarray, num_lists: int, *, learning: Learning, rng: np.random.Generator) -> np.ndarray:
    """Centres of the lists, by k-means on a sample.

    Args:
        features: (N, D) unit rows, float32 or float16, in memory or memory-mapped; read at the rows of the sample.
        num_lists: L, at most N.
        learning: how thoroughly.
        rng: draws the sample, then the start of k-means.

    Returns:
        (L, D) float32 unit rows.
    """
    import faiss  # large, and needed by the approximate search only

    count = min(len(features), learning.images_per_list * num_lists)
    # sorted, so that a memory-mapped file is read from front to back
    sample = np.ascontiguousarray(features[np.sort(rng.choice(len(features), count, replace=False))], np.float32)
    kmeans = faiss.Kmeans(
        features.shape[1],
        num_lists,
        niter=learning.rounds,
        spherical=True,  # centres of unit rows are unit rows: the nearest one is that of the largest product
        seed=int(rng.integers(2**31)),
        min_points_per_centroid=1,  # small sets have fewer images per list than faiss likes, and it would complain
    )
    kmeans.train(sample)
    return np.asarray(kmeans.centroids, dtype=np.float32)
