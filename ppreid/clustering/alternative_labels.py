"""Pseudo labels by other clusterers than DBSCAN, from the same sparse distances."""

from types import ModuleType

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN

from ppreid.base.errors import ClusteringError, DataError, unknown_choice
from ppreid.clustering.labels import check_distances, check_positive, in_order

LINKAGES = ("average", "complete", "single")
# Agglomerative clustering makes the distances of one connected part dense: 8 bytes for each pair, 1.6 GB at this size.
MAX_DENSE_IMAGES = 20_000


def hdbscan_labels(
    distances: sparse.csr_matrix, *, min_samples: int = 4, min_cluster_size: int | None = None
) -> np.ndarray:
    """Cluster with HDBSCAN, which finds clusters of different density and needs no eps.

    Args:
        distances: (N, N) sparse distances, as from `jaccard_distance` with max_distance 1; a pair that is not stored
            counts as distance 1. With a smaller max_distance the result is an approximation.
        min_samples: neighbours that make a core point, itself included; at least 2.
        min_cluster_size: smallest cluster, at least 2; None is min_samples.

    Returns:
        (N,) int64; -1 outlier, otherwise clusters in the order of their first image.

    Raises:
        DataError: the distances are not a square sparse matrix, or an argument is out of range.

    Note:
        scikit-learn holds about three copies of the stored distances in float64. It refuses a graph that is not
        connected or has too sparse rows; a few of the missing pairs are therefore stored with their distance, 1. The
        result is that of the dense matrix, except for single images where equal distances leave HDBSCAN a choice.
    """
    distances = check_distances(distances)
    min_cluster_size = min_samples if min_cluster_size is None else min_cluster_size
    if min(min_samples, min_cluster_size) < 2:
        raise DataError(f"min_samples is {min_samples} and min_cluster_size {min_cluster_size}; expected at least 2")
    if distances.shape[0] < max(min_samples, min_cluster_size):
        return np.full(distances.shape[0], -1, np.int64)
    graph = distances.astype(np.float64)
    # The minimum spanning tree takes a stored 0 for a missing pair; 1e-9 is below the resolution of float32 distances.
    graph.data = np.maximum(graph.data, 1e-9)
    graph = _connected(graph, min_samples)
    model = HDBSCAN(min_samples=min_samples, min_cluster_size=min_cluster_size, metric="precomputed", copy=False)
    return in_order(model.fit_predict(graph))


def agglomerative_labels(
    distances: sparse.csr_matrix, *, eps: float, min_samples: int = 2, method: str = "average"
) -> np.ndarray:
    """Cluster bottom-up until the nearest two clusters are farther apart than eps.

    Args:
        distances: (N, N) sparse distances, as from `jaccard_distance` with max_distance 1; a pair that is not stored
            counts as distance 1. Smaller values of max_distance speed this up and make mean distances larger.
        eps: largest distance of two clusters that are merged, in (0, 1).
        min_samples: smallest cluster; the images of smaller ones are outliers.
        method: distance of two clusters: "average", "complete" (farthest pair) or "single" (nearest pair).

    Returns:
        (N,) int64; -1 outlier, otherwise clusters in the order of their first image.

    Raises:
        DataError: the distances are not a square sparse matrix, or an argument is out of range.
        ClusteringError: more than `MAX_DENSE_IMAGES` images hang together through stored pairs.
    """
    distances = check_distances(distances)
    check_positive(eps=eps, min_samples=min_samples)
    if eps >= 1:
        raise DataError(f"eps is {eps}; at 1 or more all images would merge, expected less than 1")
    if method not in LINKAGES:
        raise DataError(unknown_choice("method", method, LINKAGES))
    # Clusters in different connected parts are 1 apart by every linkage: they never merge.
    parts = sparse.csgraph.connected_components(distances, directed=False)[1]
    labels = np.arange(len(parts), dtype=np.int64)
    for members in np.split(np.argsort(parts, kind="stable"), np.cumsum(np.bincount(parts))[:-1]):
        if len(members) > MAX_DENSE_IMAGES:
            raise ClusteringError(
                f"{len(members)} images hang together, agglomerative clustering can take {MAX_DENSE_IMAGES}; compute "
                "the distances with a smaller max_distance, or use dbscan"
            )
        if len(members) > 1:
            tree = linkage(squareform(_dense(distances, members), checks=False), method)
            # fcluster counts in int32, and a product with N leaves that from some 100,000 images on
            clusters = fcluster(tree, eps, criterion="distance").astype(np.int64)
            labels[members] = members[0] + clusters * len(parts)
    return in_order(labels, min_samples)


def infomap_labels(
    distances: sparse.csr_matrix, *, eps: float, min_samples: int = 4, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Cluster with Infomap: communities in which a random walk along similar images stays for long.

    Args:
        distances: (N, N) sparse distances, as from `jaccard_distance` with max_distance at least eps.
        eps: pairs nearer than this are links, with weight 1 - distance; in (0, 1].
        min_samples: smallest cluster; the images of smaller ones are outliers.
        rng: gives Infomap its seed; None is `default_rng(0)`.

    Returns:
        (N,) int64; -1 outlier, otherwise clusters in the order of their first image.

    Raises:
        DataError: the distances are not a square sparse matrix, or an argument is out of range.
        ClusteringError: the package infomap is not installed.

    Reference:
        Rosvall and Bergstrom, "Maps of random walks on complex networks reveal community structure", PNAS 2008.
    """
    distances = check_distances(distances)
    check_positive(eps=eps, min_samples=min_samples)
    rng = np.random.default_rng(0) if rng is None else rng
    links = sparse.triu(distances, k=1, format="coo")
    near = links.data < min(eps, 1.0)
    network = _import_infomap().Infomap(f"--two-level --silent --seed {rng.integers(1, 2**31)}")
    ends = links.row[near].tolist(), links.col[near].tolist()
    network.add_links(list(zip(*ends, (1 - links.data[near]).tolist(), strict=True)))
    labels = np.full(distances.shape[0], -1, np.int64)
    if near.any():
        modules = network.run().modules()
        labels[list(modules.keys())] = list(modules.values())
    return in_order(labels, min_samples)


def _connected(graph: sparse.csr_matrix, min_samples: int) -> sparse.csr_matrix:
    """Store some of the missing pairs, at distance 1, until every row has min_samples entries and all rows connect."""
    n = graph.shape[0]
    poor = np.flatnonzero(np.diff(graph.indptr) < min_samples)
    steps = np.arange(1, min(min_samples, n - 1) + 1)
    parts = sparse.csgraph.connected_components(graph, directed=False)[1]
    first_of_part = np.unique(parts, return_index=True)[1]
    rows = np.concatenate([np.repeat(poor, len(steps)), first_of_part[:-1]])
    columns = np.concatenate([((poor[:, None] + steps) % n).ravel(), first_of_part[1:]])
    wanted = sparse.coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(n, n)).tocsr()
    wanted = (wanted + wanted.T).astype(np.float64)  # True + True is True
    return graph + (wanted - wanted.multiply(graph > 0))


def _dense(distances: sparse.csr_matrix, members: np.ndarray) -> np.ndarray:
    block = distances[members][:, members].tocoo()
    dense = np.ones(block.shape, np.float64)
    dense[block.row, block.col] = block.data
    np.fill_diagonal(dense, 0.0)
    return dense


def _import_infomap() -> ModuleType:
    try:
        import infomap  # optional, and under another licence: never imported unless asked for
    except ImportError as error:
        raise ClusteringError(
            "the clusterer infomap needs the package infomap, which is not installed; its licence is AGPL-3.0, "
            "stricter than that of ppreid: if that suits you, run pip install 'infomap>=2.16'"
        ) from error
    return infomap
