"""Which rows of a batch belong to which class: the bookkeeping that keeps losses and updates free of batch loops."""

from typing import NamedTuple

import numpy as np
from paddle import Tensor

from ppreid.base.errors import TrainingError
from ppreid.contracts import StepBatch


class ClassRows(NamedTuple):
    """Rows of a batch grouped by class.

    A class with fewer than R rows repeats its first row at the end. A minimum or maximum over `rows` is therefore
    right without a mask, and the first minimum is never in the padding.

    Attributes:
        classes: (P,) int64, the distinct labels, ascending.
        rows: (P, R) int64, row p holds the batch rows of classes[p] in batch order; R is the largest class.
        valid: (P, R) bool, False where a row is padding.
    """

    classes: np.ndarray
    rows: np.ndarray
    valid: np.ndarray


def host_labels(labels: np.ndarray | Tensor) -> np.ndarray:
    """Labels as an array on the host.

    Args:
        labels: (B,) integers. An array, or a tensor on the CPU, costs nothing; a tensor on a GPU is fetched, which
            waits for the device. The sampler knows the labels, so training passes arrays.

    Returns:
        (B,) int64.
    """
    return np.asarray(labels).astype(np.int64, copy=False)


def check_labels(labels: np.ndarray, num_clusters: int) -> None:
    """Refuse labels that have no centroid.

    Args:
        labels: (B,) int64.
        num_clusters: number of centroids.

    Raises:
        TrainingError: if a label is not within [0, num_clusters).
    """
    wrong = labels[(labels < 0) | (labels >= num_clusters)]
    if wrong.size:
        raise TrainingError(
            f"{wrong.size} of {labels.size} labels have no centroid, for example {wrong[0]}; the memory holds clusters "
            f"0..{num_clusters - 1}: leave outliers (-1) out and build the memory from the labels of the same epoch"
        )


def cameras_of(batch: StepBatch | None, labels: np.ndarray) -> np.ndarray:
    """The cameras of the rows that labels belong to.

    Args:
        batch: of these rows.
        labels: (M,).

    Returns:
        (M,).

    Raises:
        TrainingError: they are missing.
    """
    camids = None if batch is None else batch.camids
    if camids is None or camids.shape != labels.shape:
        found = "none" if camids is None else f"cameras of {camids.size}"
        raise TrainingError(
            f"the camera of each of {labels.size} rows is needed, got {found}; give them in StepBatch.camids, and in "
            "LossTerms.memory_rows the image that each row of the memory comes from"
        )
    return camids


def rows_by_class(labels: np.ndarray) -> ClassRows:
    """Group the rows of a batch by their label.

    Args:
        labels: (B,) int64, in any order, at least one.

    Returns:
        The classes of the batch and their rows.
    """
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # stable: the sequential update depends on the order of a class's rows, the hard one on which equal row is first
    order = np.argsort(inverse, kind="stable")  # (B,)
    first = np.cumsum(counts) - counts  # (P,) start of each class in order
    offsets = np.arange(counts.max())
    valid = offsets < counts[:, None]  # (P, R)
    rows = order[first[:, None] + np.where(valid, offsets, 0)]
    return ClassRows(classes, rows, valid)
