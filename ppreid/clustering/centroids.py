"""Cluster centroids: the rows that the cluster memory starts an epoch with."""

import numpy as np

from ppreid.base.errors import DataError
from ppreid.neighbours.checks import ROWS_PER_BLOCK, check_row_ids


def cluster_centroids(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean feature of every cluster, scaled to unit L2 norm.

    Args:
        features: (N, D) unit rows, float32 or float16, in memory or an np.memmap.
        labels: (N,) integers; -1 is an outlier, which belongs to no centroid, otherwise 0 to C - 1 without gaps.

    Returns:
        (C, D) float32 unit rows; row c is cluster c. No rows when all images are outliers.

    Raises:
        DataError: the shapes do not fit, or a number below C has no image.

    Reference:
        Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, section 3.1.
    """
    if features.ndim != 2:
        raise DataError(f"features have shape {features.shape}; expected (images, dimensions)")
    labels = check_row_ids(labels, len(features), "labels")
    sizes = np.bincount(labels[labels >= 0])  # (C,)
    if not sizes.all():
        raise DataError(f"no image has label {sizes.argmin()}, but labels go up to {len(sizes) - 1}; renumber them")
    sums = np.zeros((len(sizes), features.shape[1]), np.float32)
    for start in range(0, len(features), ROWS_PER_BLOCK):
        rows = start + np.flatnonzero(labels[start : start + ROWS_PER_BLOCK] >= 0)
        if len(rows):
            rows = rows[np.argsort(labels[rows], kind="stable")]
            present, first = np.unique(labels[rows], return_index=True)
            sums[present] += np.add.reduceat(features[rows], first, axis=0, dtype=np.float32)
    # The mean and the sum have the same direction. Features that cancel out leave a zero row.
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.maximum(norms, np.finfo(np.float32).tiny)
