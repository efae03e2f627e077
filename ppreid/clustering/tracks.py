"""Pseudo labels that use tracks: one node of the graph for each track, and tracks that are never one person."""

import numpy as np
from scipy import sparse

from ppreid.base.errors import DataError
from ppreid.base.progress import Stopwatch
from ppreid.clustering.labels import check_distances, cluster_centroids, in_order
from ppreid.contracts import Clusterer, Distance
from ppreid.neighbours.checks import check_row_ids


def track_nodes(tracks: np.ndarray) -> np.ndarray:
    """Number the nodes of the graph: each track is one, and so is each image without a track.

    Args:
        tracks: (N,) track of every image, -1 unknown.

    Returns:
        (N,) int64 node of every image, 0 to T - 1 in the order of their first images.
    """
    alone = tracks.max(initial=-1) + 1 + np.arange(len(tracks))
    return in_order(np.where(tracks >= 0, tracks, alone))


def node_distances(
    features: np.ndarray, camids: np.ndarray, *, nodes: np.ndarray, distance: Distance, stopwatch: Stopwatch
) -> sparse.csr_matrix:
    """Distances between tracks: between the means of the features of their images.

    Args:
        features: (N, D) unit rows.
        camids: (N,) cameras, -1 unknown; a track has that of its first image.
        nodes: (N,) from `track_nodes`.
        distance: features and cameras to distances.
        stopwatch: receives the stages of the distance.

    Returns:
        (T, T) sparse distances.
    """
    _, first = np.unique(nodes, return_index=True)
    return distance(cluster_centroids(features, nodes), np.asarray(camids)[first], stopwatch=stopwatch)


def node_labels(
    distances: sparse.csr_matrix, *, nodes: np.ndarray, clusterer: Clusterer, min_images: int = 0
) -> np.ndarray:
    """Cluster tracks, and give all images of a track its label.

    Args:
        distances: (T, T) from `node_distances`.
        nodes: (N,) from `track_nodes`.
        clusterer: distances to labels.
        min_images: a track that joins no other is a cluster of its own if it has so many images; 0: it is an outlier.

    Returns:
        (N,) int64 labels, -1 for outliers.
    """
    labels = clusterer(distances)  # (T,)
    if min_images:
        alone = np.flatnonzero((labels < 0) & (np.bincount(nodes, minlength=len(labels)) >= min_images))
        labels = labels.copy()
        labels[alone] = labels.max(initial=-1) + 1 + np.arange(len(alone))
    return labels[nodes]


def separated_labels(
    labels: np.ndarray,
    distances: sparse.csr_matrix,
    apart: np.ndarray,
    *,
    groups: np.ndarray,
    min_samples: int,
    eps: float = 1.0,
) -> np.ndarray:
    """Split every cluster that holds two groups which must not be together, and leave all others as they are.

    The nodes of such a cluster are joined anew: pairs that are at most `eps` apart, nearest first, unless the two parts
    that a pair would join hold groups that must be apart. What could pass between two people through a third, as
    DBSCAN's chains do, is so cut at its weakest link.

    Args:
        labels: (N,) clusters, -1 for outliers.
        distances: (N, N) sparse distances that the labels were made from.
        apart: (P, 2) groups that must not be in one cluster.
        groups: (N,) group of every node, e.g. its track, or the node itself.
        min_samples: a part of fewer nodes becomes outliers.
        eps: largest distance of a pair that is joined.

    Returns:
        (N,) int64 labels without gaps, numbered by their first node where a cluster was split; `labels` where none was.

    Raises:
        DataError: the arguments do not fit together.

    Note:
        Pairs of equal distance are joined in the order of rows and columns, so that equal input gives equal labels.
    """
    distances = check_distances(distances)
    labels = check_row_ids(labels, distances.shape[0], "labels")
    groups = check_row_ids(groups, len(labels), "groups")
    apart = np.asarray(apart)
    if apart.ndim != 2 or apart.shape[1] != 2 or (len(apart) and not 0 <= apart.min() <= apart.max() <= groups.max()):
        raise DataError(f"apart has shape {apart.shape}; expected pairs (P, 2) of groups from 0 to {groups.max()}")
    mixed = _mixed_clusters(labels, groups, apart)
    if not len(mixed):
        return labels
    enemies: dict[int, set[int]] = {}
    for one, other in apart.tolist():
        enemies.setdefault(one, set()).add(other)
        enemies.setdefault(other, set()).add(one)
    names = labels.copy()
    for cluster in mixed:
        members = np.flatnonzero(labels == cluster)
        parts = in_order(_joined(distances[members][:, members], groups[members].tolist(), enemies, eps), min_samples)
        names[members] = np.where(parts >= 0, names.max() + 1 + parts, -1)
    return in_order(names)


def _mixed_clusters(labels: np.ndarray, groups: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Clusters that hold both groups of a pair, ascending."""
    clustered = labels >= 0
    if not len(apart) or not clustered.any():
        return np.empty(0, np.int64)
    ends, shape = (labels[clustered], groups[clustered]), (labels.max() + 1, groups.max() + 1)
    holds = sparse.csc_matrix((np.ones(len(ends[0]), np.int64), ends), shape=shape)
    return np.unique(holds[:, apart[:, 0]].multiply(holds[:, apart[:, 1]]).nonzero()[0])


def _joined(distances: sparse.csr_matrix, groups: list[int], enemies: dict[int, set[int]], eps: float) -> np.ndarray:
    """Part (M,) of each node, named by one of its nodes, after joining the nearest pairs first."""
    upper = sparse.triu(distances, k=1).tocoo()
    order = np.lexsort((upper.col, upper.row, upper.data))
    order = order[upper.data[order] <= eps]
    parent, within = list(range(len(groups))), [{group} for group in groups]

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for i, j in zip(upper.row[order].tolist(), upper.col[order].tolist(), strict=True):
        small, large = sorted((root(i), root(j)), key=lambda node: len(within[node]))
        if small != large and not any(enemies.get(group, set()) & within[large] for group in within[small]):
            parent[small] = large
            within[large] |= within[small]
    return np.array([root(node) for node in range(len(groups))])
