"""How good pseudo labels are: counts, agreement with known identities, and what another eps would give."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from ppreid.clustering.labels import check_distances, dbscan_labels
from ppreid.neighbours.checks import check_row_ids


class ClusteringStatistics(NamedTuple):
    """Counts of a clustering.

    Attributes:
        clusters: number of clusters.
        outliers: number of images in no cluster.
        largest: number of images in the largest cluster; 0 without clusters.
    """

    clusters: int
    outliers: int
    largest: int


class PseudoLabelQuality(NamedTuple):
    """Agreement of pseudo labels with identities.

    Attributes:
        ari: adjusted Rand index; 1 is perfect, 0 is chance. Every outlier counts as a cluster of its own.
        nmi: normalised mutual information in [0, 1], with outliers treated likewise.
        mixed_clusters: share of clusters with images of more than one identity; nan without clusters.
        split_identities: share of identities whose images lie in more than one cluster, outliers left aside; nan
            without clusters.
    """

    ari: float
    nmi: float
    mixed_clusters: float
    split_identities: float


class SweepRow(NamedTuple):
    """The clustering at one eps.

    Attributes:
        eps: largest distance of neighbours.
        clusters: as in `ClusteringStatistics`.
        outliers: as in `ClusteringStatistics`.
        largest: as in `ClusteringStatistics`.
        silhouette: see `sparse_silhouette`.
        ari: see `PseudoLabelQuality`; nan when the identities are not known.
    """

    eps: float
    clusters: int
    outliers: int
    largest: int
    silhouette: float
    ari: float


def clustering_statistics(labels: np.ndarray) -> ClusteringStatistics:
    """Count clusters and outliers.

    Args:
        labels: (N,) pseudo labels, 0 to C - 1, -1 for outliers.

    Returns:
        The counts.
    """
    sizes = np.bincount(labels[labels >= 0])
    return ClusteringStatistics(int(np.count_nonzero(sizes)), int(np.sum(labels < 0)), int(sizes.max(initial=0)))


def pseudo_label_quality(labels: np.ndarray, pids: np.ndarray) -> PseudoLabelQuality:
    """Compare pseudo labels with known identities; for reports only, never for training.

    Args:
        labels: (N,) pseudo labels, -1 for outliers.
        pids: (N,) identities; images whose identity is unknown (-1) are left out.

    Returns:
        The agreement; nan everywhere when no identity is known.

    Example:
        Cluster 0 mixes people 7 and 8, and person 8 lies in two clusters.

        >>> quality = pseudo_label_quality(np.array([0, 0, 0, 1, 1]), np.array([7, 7, 8, 8, 8]))
        >>> quality.mixed_clusters, quality.split_identities
        (0.5, 0.5)
    """
    labels = check_row_ids(labels, len(labels), "labels")
    pids = check_row_ids(pids, len(labels), "pids")
    labels, pids = labels[pids >= 0], pids[pids >= 0]
    if not len(pids):
        return PseudoLabelQuality(math.nan, math.nan, math.nan, math.nan)
    alone = np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)
    pairs = np.unique(np.stack([labels, pids])[:, labels >= 0], axis=1)  # (2, pairs that occur)
    identities_per_cluster = np.unique(pairs[0], return_counts=True)[1]
    clusters_per_identity = np.unique(pairs[1], return_counts=True)[1]
    return PseudoLabelQuality(
        float(adjusted_rand_score(pids, alone)),
        float(normalized_mutual_info_score(pids, alone)),
        float(np.mean(identities_per_cluster > 1)) if pairs.size else math.nan,
        float(np.mean(clusters_per_identity > 1)) if pairs.size else math.nan,
    )


def sparse_silhouette(distances: sparse.csr_matrix, labels: np.ndarray) -> float:
    """Mean silhouette of the clustered images, where a pair that is not stored counts as distance 1.

    An image scores (b - a) / max(a, b): a is its mean distance to the other images of its cluster, b the smallest mean
    distance to another cluster. Outliers are left out; an image alone in its cluster scores 0.

    Args:
        distances: (N, N) sparse distances in [0, 1], the diagonal stored, as from `jaccard_distance`.
        labels: (N,) pseudo labels, 0 to C - 1, -1 for outliers.

    Returns:
        Mean in [-1, 1]; nan with fewer than two clusters.

    Reference:
        Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", 1987.
    """
    labels = check_row_ids(labels, check_distances(distances).shape[0], "labels")
    rows = np.flatnonzero(labels >= 0)
    own = labels[rows]
    sizes = np.bincount(own)  # (C,)
    if len(sizes) < 2:
        return math.nan
    member = sparse.csr_matrix((np.ones(len(rows)), (rows, own)), shape=(len(labels), len(sizes)))
    closeness = sparse.csr_matrix((1.0 - distances.data, distances.indices, distances.indptr), shape=distances.shape)
    sums = closeness[rows] @ member  # (M, C), sparse: 0 where no pair is stored
    to_own = np.asarray(sums[np.arange(len(rows)), own]).ravel() - 1  # (M,), without the image itself
    means = (sums @ sparse.diags(1 / sizes)).tocoo()  # (M, C)
    means.data[means.col == own[means.row]] = 0
    a = 1 - to_own / np.maximum(sizes[own] - 1, 1)  # (M,)
    b = 1 - means.max(axis=1).toarray().ravel()  # (M,)
    scores = np.where(sizes[own] > 1, (b - a) / np.maximum(np.maximum(a, b), 1e-12), 0.0)
    return float(scores.mean())


def sweep_eps(
    distances: sparse.csr_matrix,
    eps_values: Iterable[float],
    *,
    min_samples: int = 4,
    pids: np.ndarray | None = None,
    cluster: Callable[..., np.ndarray] = dbscan_labels,
) -> list[SweepRow]:
    """Cluster the same distances with several eps.

    Args:
        distances: (N, N) sparse distances, computed once with max_distance at least the largest eps.
        eps_values: values to try.
        min_samples: as for the clusterer.
        pids: (N,) identities, -1 unknown; None when none is known.
        cluster: clusterer that takes `(distances, eps=..., min_samples=...)`.

    Returns:
        One row for each eps, in the order given.
    """
    rows = []
    for eps in eps_values:
        labels = cluster(distances, eps=eps, min_samples=min_samples)
        ari = math.nan if pids is None else pseudo_label_quality(labels, pids).ari
        rows.append(SweepRow(eps, *clustering_statistics(labels), sparse_silhouette(distances, labels), ari))
    return rows
