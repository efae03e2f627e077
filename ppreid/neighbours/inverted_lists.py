"""Inverted lists: images by their nearest k-means centre, and the numbers that pseudo labels and search share."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ppreid.base.errors import DataError, PpreidWarning, last_line

_T = TypeVar("_T")


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
    seed = int(rng.integers(2**31))

    def train(*, on_gpu: bool) -> np.ndarray:
        kmeans = faiss.Kmeans(
            features.shape[1],
            num_lists,
            niter=learning.rounds,
            spherical=True,  # centres of unit rows are unit rows: the nearest one is that of the largest product
            seed=seed,
            min_points_per_centroid=1,  # small sets have fewer images per list than faiss likes, and it would complain
        )
        if on_gpu:  # its own argument for that would take all GPUs, also those that others work on
            kmeans.index = _on_first_gpu(kmeans.index)
        kmeans.train(sample)
        return np.asarray(kmeans.centroids, dtype=np.float32)

    return on_gpu_or_cpu(lambda: train(on_gpu=True), lambda: train(on_gpu=False))


# What faiss's lists on a GPU can do at most: neighbours that are asked for, and lists that are probed.
MOST_ON_GPU = 2048


def gpu_copy(index: Any) -> Any:  # noqa: ANN401 - a faiss index; its types are not known where faiss has no stubs
    """A copy of an inverted file on the first GPU; None where faiss sees no GPU, or the copy fails."""
    return on_gpu_or_cpu(lambda: _on_first_gpu(index), lambda: None)


def _on_first_gpu(index: Any) -> Any:  # noqa: ANN401 - likewise
    import faiss

    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


def on_gpu_or_cpu(gpu: Callable[[], _T], cpu: Callable[[], _T]) -> _T:
    """Do something on a GPU where faiss sees one, and on the CPU otherwise.

    Args:
        gpu: does it on the GPU.
        cpu: does it without.

    Warns:
        PpreidWarning: it failed on the GPU; it is then done on the CPU.
    """
    import faiss

    if faiss.get_num_gpus() > 0:
        try:
            return gpu()
        except Exception as error:  # noqa: BLE001 - memory, driver, a build for other GPUs: the CPU can do it in any case
            text = f"faiss sees a GPU and cannot use it ({last_line(error)}); it goes on on the CPU"
            warnings.warn(text, PpreidWarning, 3)
    return cpu()
