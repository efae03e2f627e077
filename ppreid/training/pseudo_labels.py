"""Pseudo labels: from features to clusters and their centroids, timed stage by stage."""

import numpy as np

from ppreid.base.progress import Stopwatch
from ppreid.clustering.labels import cluster_centroids
from ppreid.contracts import Clusterer, Clustering, Distance, RunObjective


def assign_pseudo_labels(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    distance: Distance,
    clusterer: Clusterer,
    stopwatch: Stopwatch,
    objective: RunObjective | None = None,
) -> tuple[np.ndarray, ...]:
    """Cluster the training images (paper, section 3.1).

    Args:
        features: (N, D) float32 unit rows.
        camids: (N,) cameras, -1 unknown; only camera-aware distances look at them.
        distance: features and cameras -> sparse distances (N, N); it times stages of its own, such as "neighbours" and
            "jaccard".
        clusterer: sparse distances (N, N) -> labels (N,), -1 for outliers.
        stopwatch: receives the stages of the distance, and "cluster".
        objective: what the labels are for; it may keep something of the clustering.

    Returns:
        Labels (N,) int64, -1 for outliers, else 0..C-1; centroids (C, D) float32 unit rows, where features are several
        unit rows beside each other each of them; and the arrays that the objective keeps. C may be 0.
    """
    distances = distance(features, camids, stopwatch=stopwatch)  # (N, N), sparse
    # outliers join no centroid: they would pull it towards images that nothing is known of
    with stopwatch.stage("cluster"):
        labels = clusterer(distances)
        heads = np.split(features, objective.heads if objective else 1, axis=1)
        centroids = np.concatenate([cluster_centroids(head, labels) for head in heads], axis=1)
        kept = objective.prepare(Clustering(features, distances, labels, camids)) if objective else ()
    return labels, centroids, *kept
