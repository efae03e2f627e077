"""Pseudo labels: from features to clusters and their centroids, timed stage by stage."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from ppreid.base.progress import Stopwatch
from ppreid.clustering.camera_jaccard import camera_jaccard_from_neighbours
from ppreid.clustering.centroids import cluster_centroids
from ppreid.clustering.jaccard import jaccard_from_neighbours
from ppreid.neighbours.search import camera_neighbours, nearest_neighbours


class PseudoLabels(NamedTuple):
    """What one round of clustering found.

    Attributes:
        labels: (N,) int64, -1 for outliers, else 0..C-1.
        centroids: (C, D) float32 unit rows.
    """

    labels: np.ndarray
    centroids: np.ndarray


class DistanceMethod(NamedTuple):
    """A distance between images in two stages, so that each can be timed and replaced.

    Attributes:
        search: (features (N, D), camids (N,)) -> neighbours, in whatever form `distance` takes.
        distance: (features, neighbours) -> sparse distances (N, N).
    """

    search: Callable[[np.ndarray, np.ndarray], Any]
    distance: Callable[[np.ndarray, Any], csr_matrix]


def assign_pseudo_labels(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    method: DistanceMethod,
    clusterer: Callable[[csr_matrix], np.ndarray],
    stopwatch: Stopwatch,
) -> PseudoLabels:
    """Cluster the training images (paper, section 3.1).

    Args:
        features: (N, D) float32 unit rows.
        camids: (N,) cameras, -1 unknown; only camera-aware distances look at them.
        method: neighbour search and distance.
        clusterer: sparse distances (N, N) -> labels (N,), -1 for outliers.
        stopwatch: receives the stages "neighbours", "jaccard" and "cluster".

    Returns:
        Labels and centroids; C may be 0.
    """
    with stopwatch.stage("neighbours"):
        neighbours = method.search(features, camids)
    with stopwatch.stage("jaccard"):
        distances = method.distance(features, neighbours)
    with stopwatch.stage("cluster"):
        labels = clusterer(distances)
        centroids = cluster_centroids(features, labels)
    return PseudoLabels(labels, centroids)


def jaccard_method(*, k1: int, k2: int, max_distance: float, search: str, num_probes: int) -> DistanceMethod:
    """The k-reciprocal Jaccard distance; for the arguments see `jaccard_distance` and `nearest_neighbours`."""

    def neighbours(features: np.ndarray, camids: np.ndarray) -> np.ndarray:
        return nearest_neighbours(features, max(k1, k2), method=search, num_probes=num_probes)[1]

    return DistanceMethod(neighbours, partial(jaccard_from_neighbours, k1=k1, k2=k2, max_distance=max_distance))


def camera_jaccard_method(
    *,
    k1_intra: int,
    k1_inter: int,
    k2_intra: int,
    k2_inter: int,
    max_distance: float,
    search: str,
    num_probes: int,
) -> DistanceMethod:
    """The camera-aware Jaccard distance; for the arguments see `camera_jaccard_distance`."""

    def neighbours(features: np.ndarray, camids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return camera_neighbours(
            features,
            camids,
            k_intra=max(k1_intra + 1, k2_intra),  # both rankings are cut one image behind k1
            k_inter=max(k1_inter + 1, k2_inter),
            method=search,
            num_probes=num_probes,
        )

    def distance(features: np.ndarray, rankings: tuple[np.ndarray, np.ndarray]) -> csr_matrix:
        return camera_jaccard_from_neighbours(
            features,
            *rankings,
            k1_intra=k1_intra,
            k1_inter=k1_inter,
            k2_intra=k2_intra,
            k2_inter=k2_inter,
            max_distance=max_distance,
        )

    return DistanceMethod(neighbours, distance)
