"""Pseudo labels: from features to clusters and their centroids, timed stage by stage."""

from typing import NamedTuple

import numpy as np

from ppreid.base.progress import Stopwatch
from ppreid.clustering.labels import cluster_centroids
from ppreid.contracts import Clusterer, Distance


class PseudoLabels(NamedTuple):
    """What one round of clustering found.

    Attributes:
        labels: (N,) int64, -1 for outliers, else 0..C-1.
        centroids: (C, D) float32 unit rows.
    """

    labels: np.ndarray
    centroids: np.ndarray


def assign_pseudo_labels(
    features: np.ndarray, camids: np.ndarray, *, distance: Distance, clusterer: Clusterer, stopwatch: Stopwatch
) -> PseudoLabels:
    """Cluster the training images (paper, section 3.1).

    Args:
        features: (N, D) float32 unit rows.
        camids: (N,) cameras, -1 unknown; only camera-aware distances look at them.
        distance: features and cameras -> sparse distances (N, N); it times stages of its own, such as "neighbours" and
            "jaccard".
        clusterer: sparse distances (N, N) -> labels (N,), -1 for outliers.
        stopwatch: receives the stages of the distance, and "cluster".

    Returns:
        Labels and centroids; C may be 0.
    """
    distances = distance(features, camids, stopwatch=stopwatch)  # (N, N), sparse
    # outliers join no centroid: they would pull it towards images that nothing is known of
    with stopwatch.stage("cluster"):
        labels = clusterer(distances)
        centroids = cluster_centroids(features, labels)
    return PseudoLabels(labels, centroids)
