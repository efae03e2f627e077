"""How good pseudo labels are: counts, agreement with known identities, and what can be said without these."""

import math
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from ppreid.base.numbers import fixed
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


class LabelHealth(NamedTuple):
    """What can be said of pseudo labels without identities.

    Attributes:
        label_stability: adjusted Rand index between these labels and those of the epoch before, over the images that
            are in a cluster both times; 1: the same clusters, 0: as unlike as chance. nan in the first epoch, and with
            fewer than two such images.
        camera_mixing: entropy of the cameras within clusters, as a share of their entropy in all clustered images; 0:
            every cluster is one camera, 1: every cluster mixes the cameras as the data do. Clusters smaller than the
            number of cameras cannot reach 1. nan when cameras are unknown, or when there is only one.
        cross_camera_clusters: share of the clusters that hold images of more than one camera; nan likewise.
    """

    label_stability: float
    camera_mixing: float
    cross_camera_clusters: float


def quality_line(quality: PseudoLabelQuality) -> str:
    """Agreement with the known identities, as a line of the log."""
    return (
        f"against the known identities: ARI {fixed(quality.ari, 3)}, NMI {fixed(quality.nmi, 3)}, mixed clusters "
        f"{100 * quality.mixed_clusters:.1f} %, split identities {100 * quality.split_identities:.1f} %"
    )


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


def label_health(labels: np.ndarray, previous: np.ndarray | None, camids: np.ndarray) -> LabelHealth:
    """Judge the pseudo labels of an epoch without any identity.

    Args:
        labels: (N,) pseudo labels, -1 for outliers.
        previous: (N,) those of the epoch before; None in the first.
        camids: (N,) cameras, -1 unknown; images of unknown camera are left out of the two numbers about cameras.

    Returns:
        The three numbers.

    Example:
        The clusters of the epoch before under other names; one mixes both cameras, the other is one camera.

        >>> health = label_health(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), np.array([0, 1, 0, 0]))
        >>> health.label_stability, health.cross_camera_clusters
        (1.0, 0.5)
    """
    labels = check_row_ids(labels, len(labels), "labels")
    camids = check_row_ids(camids, len(labels), "camids")
    stability = math.nan
    if previous is not None:
        both = (labels >= 0) & (check_row_ids(previous, len(labels), "previous labels") >= 0)
        if both.sum() > 1:
            stability = float(adjusted_rand_score(previous[both], labels[both]))
    usable = (labels >= 0) & (camids >= 0)
    return LabelHealth(stability, *_camera_mixing(labels[usable], camids[usable]))


def _camera_mixing(labels: np.ndarray, camids: np.ndarray) -> tuple[float, float]:
    """H(camera | cluster) / H(camera), and the share of clusters with several cameras."""
    if len(np.unique(camids)) < 2:
        return math.nan, math.nan
    pairs, counts = np.unique(np.stack([labels, camids]), axis=1, return_counts=True)  # pairs that occur
    # counted as values, not as positions: the number of a camera may have any size
    cameras = _entropy(np.unique(camids, return_counts=True)[1])
    clusters = _entropy(np.unique(labels, return_counts=True)[1])
    cameras_of = np.unique(pairs[0], return_counts=True)[1]  # (C,)
    # of equal entropies the difference may be negative by rounding
    return max(0.0, (_entropy(counts) - clusters) / cameras), float(np.mean(cameras_of > 1))


def _entropy(counts: np.ndarray) -> float:
    """Of a distribution that is given by counts, in nats."""
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
