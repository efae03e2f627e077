"""How healthy pseudo labels are, where no identity is known: do they settle, and do they join cameras?"""

import math
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from ppreid.neighbours.checks import check_row_ids


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
