"""Pseudo labels from sparse distances, clusters 0 to C - 1 and -1 for outliers, and the centroids of the clusters."""

import logging

import numpy as np
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.neighbors import sort_graph_by_row_values

from ppreid.base.errors import ClusteringError, DataError
from ppreid.neighbours.checks import ROWS_PER_BLOCK, check_row_ids

logger = logging.getLogger("ppreid")


def dbscan_labels(distances: sparse.csr_matrix, *, eps: float, min_samples: int = 4) -> np.ndarray:
    """Cluster with DBSCAN; the result equals that on the dense matrix.

    Args:
        distances: (N, N) sparse distances, as from `jaccard_distance` with max_distance at least eps; a pair that is
            not stored is farther than eps.
        eps: largest distance of neighbours, itself included; positive.
        min_samples: neighbours that make a core point, itself included.

    Returns:
        (N,) int64; -1 outlier, otherwise clusters in the order of their first core point. A border point that several
        clusters reach goes to the first, so a cluster can be smaller than min_samples.

    Raises:
        DataError: the distances are not a square sparse matrix, or an argument is out of range.

    Example:
        Images 0, 1 and 2 form a chain of distances 0.2, and 3 is far from all. The diagonal is stored: a 0 in the data.

        >>> ends = [0, 1, 2, 3, 0, 1, 1, 2], [0, 1, 2, 3, 1, 0, 2, 1]
        >>> distances = sparse.csr_matrix(([0.0] * 4 + [0.2] * 4, ends), shape=(4, 4))
        >>> dbscan_labels(distances, eps=0.5, min_samples=2).tolist()
        [0, 0, 0, -1]
    """
    distances = check_distances(distances)
    check_positive(eps=eps, min_samples=min_samples)
    model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
    # some versions of scikit-learn warn when they have to do this themselves
    rows_by_distance = sort_graph_by_row_values(distances, copy=True, warn_when_not_sorted=False)
    return model.fit_predict(rows_by_distance).astype(np.int64)


def require_clusters(
    labels: np.ndarray, *, eps: float | None = None, min_samples: int, of_tracks: bool = False
) -> None:
    """Refuse labels without any cluster.

    Args:
        labels: (N,) pseudo labels; -1 is an outlier.
        eps: what the labels were made with, for the message; None for a clusterer without eps.
        min_samples: likewise.
        of_tracks: min_samples counted tracks, and is another key of the configuration.

    Raises:
        ClusteringError: all images are outliers.
    """
    if np.any(labels >= 0):
        return
    key = "labels.track.min_samples" if of_tracks else "labels.min_samples"
    found = f"no cluster found: all {len(labels):,} images are outliers at labels.min_samples={min_samples}"
    found = found.replace("labels.min_samples", key)  # written out above, since people look for the sentence
    if eps is None:
        raise ClusteringError(f"{found}; lower {key}")
    raise ClusteringError(
        f"{found} and labels.eps={eps}; raise labels.eps (tools/cluster.py --sweep shows the effect) or lower {key}"
    )


GIANT = 0.25  # of all images; the largest data sets of pedestrians have 2 % of them of one person


def log_giant_cluster(labels: np.ndarray, *, eps: float | None = None) -> None:
    """Say that one cluster swallows the others, which everything else that is known without identities hides.

    Args:
        labels: (N,) pseudo labels; -1 is an outlier.
        eps: what the labels were made with; None for a clusterer without eps.

    Note:
        It is a line of the log rather than a warning of Python's, since it may come in every epoch.
    """
    largest = int(np.bincount(labels[labels >= 0], minlength=1).max())
    if largest > GIANT * len(labels):
        advice = "look at the settings of the clusterer" if eps is None else f"labels.eps={eps} is probably too high"
        logger.warning(
            "one cluster holds %s of %s images: it mixes people, unless that is one person, and few outliers and high "
            "camera mixing come from it; %s",
            *(f"{count:,}" for count in (largest, len(labels))),
            advice,
        )


def check_distances(distances: sparse.csr_matrix) -> sparse.csr_matrix:
    """Check sparse distances and give them back.

    Raises:
        DataError: they are not a square CSR matrix of numbers of at least 0.
    """
    if not sparse.issparse(distances) or distances.format != "csr" or distances.shape[0] != distances.shape[1]:
        found = f"{distances.format} {distances.shape}" if sparse.issparse(distances) else type(distances).__name__
        raise DataError(f"distances are {found}; expected a square scipy.sparse.csr_matrix, as from jaccard_distance")
    if distances.nnz and not distances.data.min() >= 0:
        raise DataError(f"distances go down to {distances.data.min()}; expected numbers of at least 0")
    return distances


def check_positive(**arguments: float) -> None:
    """Check that the named arguments are more than 0.

    Raises:
        DataError: one is not; the message names it.
    """
    for name, value in arguments.items():
        if not value > 0:
            raise DataError(f"{name} is {value}; expected more than 0")


def in_order(labels: np.ndarray, min_samples: int = 1) -> np.ndarray:
    """Number the clusters of at least min_samples images 0, 1, ... by their first image; all others become -1."""
    clusters, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    kept = np.flatnonzero((clusters >= 0) & (sizes >= min_samples))
    numbers = np.full(len(clusters), -1, np.int64)
    numbers[kept[np.argsort(first[kept])]] = np.arange(len(kept))
    return numbers[inverse.reshape(-1)]


def cluster_centroids(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean feature of every cluster, scaled to unit L2 norm.

    Args:
        features: (N, D) unit rows, float32 or float16, in memory or an np.memmap.
        labels: (N,) integers; -1 is an outlier, which belongs to no centroid, otherwise 0 to C - 1 without gaps.

    Returns:
        (C, D) float32 unit rows; row c is cluster c. No rows when all images are outliers.

    Raises:
        DataError: the shapes do not fit, or a number below C has no image.

    Example:
        Two images of cluster 0 on both sides of (1, 0), an outlier, and cluster 1.

        >>> features = np.array([[0.6, 0.8], [0.6, -0.8], [0.0, 1.0], [-1.0, 0.0]])
        >>> cluster_centroids(features, np.array([0, 0, -1, 1])).tolist()
        [[1.0, 0.0], [-1.0, 0.0]]

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
