"""DBSCAN and the other clusterers on sparse distances."""

import sys
import types
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.metrics import adjusted_rand_score

from ppreid.base.errors import ClusteringError, DataError
from ppreid.clustering import alternative_labels
from ppreid.clustering.alternative_labels import agglomerative_labels, hdbscan_labels, infomap_labels
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels, log_giant_cluster, require_clusters


def stored_up_to(dense, limit):
    """The pairs of a dense matrix within a limit, zeros stored."""
    rows, columns = np.nonzero(dense <= limit)
    return sparse.csr_matrix((dense[rows, columns].astype(np.float32), (rows, columns)), shape=dense.shape)


def distances_of(points):
    points = np.asarray(points, np.float32)
    return np.abs(points[:, None] - points[None])


def assert_numbered_by_first_image(labels):
    assert labels.dtype == np.int64
    present = labels[labels >= 0]
    first_images = [np.argmax(labels == cluster) for cluster in range(present.max(initial=-1) + 1)]
    assert first_images == sorted(first_images)
    assert set(present) == set(range(len(first_images)))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("min_samples", [1, 3, 4, 6])
def test_dbscan_equals_the_dense_result_with_ties(seed, min_samples):
    points = np.random.default_rng(seed).integers(0, 60, 40) / 10  # many pairs are equal, some exactly eps apart
    dense = distances_of(points)
    expected = DBSCAN(eps=0.2, min_samples=min_samples, metric="precomputed").fit_predict(dense)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for limit in (np.float32(0.2), 1.0):
            labels = dbscan_labels(stored_up_to(dense, limit), eps=0.2, min_samples=min_samples)
            np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int64


def test_dbscan_by_hand():
    """Points on a line: a chain and one far point; then a border point that two clusters reach goes to the first."""
    points = [10, 11, 12, 9, 8, 7, 6, 30]
    labels = dbscan_labels(stored_up_to(distances_of(points), 1), eps=1, min_samples=3)
    assert labels.tolist() == [0, 0, 0, 0, 0, 0, 0, -1]
    border = dbscan_labels(stored_up_to(distances_of([6, 6.5, 7, 8.5, 10, 10.5, 11]), 1.5), eps=1.5, min_samples=4)
    assert border.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_dbscan_counts_duplicates_and_itself():
    points = [0, 0, 0, 5]
    graph = stored_up_to(distances_of(points), 1)
    assert dbscan_labels(graph, eps=0.1, min_samples=3).tolist() == [0, 0, 0, -1]
    assert dbscan_labels(graph, eps=0.1, min_samples=4).tolist() == [-1, -1, -1, -1]
    before = graph.copy()
    dbscan_labels(graph, eps=0.1, min_samples=3)
    assert (graph != before).nnz == 0 and graph.nnz == before.nnz


def golden_distances(golden, to_dense):
    sparse_distances = jaccard_distance(golden("jaccard_N400_D16")["features"], k1=20, k2=6)
    return sparse_distances, to_dense(sparse_distances).astype(np.float64)


@pytest.mark.parametrize(("min_samples", "min_cluster_size"), [(4, None), (2, 5), (8, 8)])
def test_hdbscan_equals_the_dense_result(min_samples, min_cluster_size, golden, to_dense):
    distances, dense = golden_distances(golden, to_dense)
    labels = hdbscan_labels(distances, min_samples=min_samples, min_cluster_size=min_cluster_size)
    size = min_cluster_size or min_samples
    model = HDBSCAN(min_samples=min_samples, min_cluster_size=size, metric="precomputed", copy=True)
    expected = model.fit_predict(dense)
    assert adjusted_rand_score(labels, expected) > 0.99
    assert abs(labels.max() - expected.max()) <= 1
    assert_numbered_by_first_image(labels)


def test_hdbscan_with_parts_that_no_stored_pair_connects():
    points = [0, 0.1, 0.2, 0.3, 0.4, 10, 10.1, 10.2, 10.3, 10.4, 50]
    labels = hdbscan_labels(stored_up_to(distances_of(points), 0.5), min_samples=3)
    assert labels[:10].tolist() == [0] * 5 + [1] * 5
    assert labels[10] in (-1, 0, 1)  # equally far from all: versions of scikit-learn choose differently
    assert hdbscan_labels(stored_up_to(distances_of([0, 0.1]), 0.5), min_samples=3).tolist() == [-1, -1]


@pytest.mark.parametrize("method", ["average", "complete", "single"])
@pytest.mark.parametrize("eps", [0.4, 0.7])
def test_agglomerative_equals_the_dense_result(method, eps, golden, to_dense):
    distances, dense = golden_distances(golden, to_dense)
    labels = agglomerative_labels(distances, eps=eps, min_samples=1, method=method)
    expected = fcluster(linkage(squareform(dense, checks=False), method), eps, criterion="distance")
    assert adjusted_rand_score(labels, expected) == 1
    assert_numbered_by_first_image(labels)
    large = agglomerative_labels(distances, eps=eps, min_samples=4, method=method)
    sizes = np.bincount(labels)
    np.testing.assert_array_equal(large == -1, sizes[labels] < 4)


def test_agglomerative_refuses_what_it_cannot_hold(monkeypatch):
    monkeypatch.setattr(alternative_labels, "MAX_DENSE_IMAGES", 4)
    graph = stored_up_to(distances_of([0, 0.1, 0.2, 0.3, 0.4, 9]), 0.5)
    with pytest.raises(ClusteringError, match=r"5 images hang together.*can take 4.*smaller max_distance"):
        agglomerative_labels(graph, eps=0.3)


def test_infomap_links_and_numbers(monkeypatch):
    network = types.SimpleNamespace()

    def make(flags):
        network.flags = flags
        network.add_links = lambda links: setattr(network, "links", links)
        modules = {0: 7, 1: 7, 2: 3, 3: 3, 4: 3}
        network.run = lambda: types.SimpleNamespace(modules=lambda: modules)
        return network

    monkeypatch.setitem(sys.modules, "infomap", types.SimpleNamespace(Infomap=make))
    graph = stored_up_to(distances_of([0, 0.25, 1, 1.25, 1.5, 9]), 0.6)
    labels = infomap_labels(graph, eps=0.5, min_samples=2, rng=np.random.default_rng(1))
    assert network.links == [(0, 1, 0.75), (2, 3, 0.75), (3, 4, 0.75)]  # a pair exactly eps apart is no link
    assert labels.tolist() == [0, 0, 1, 1, 1, -1]
    assert infomap_labels(graph, eps=0.5, min_samples=3).tolist() == [-1, -1, 0, 0, 0, -1]


def test_infomap_itself():
    pytest.importorskip("infomap")
    graph = stored_up_to(distances_of([0, 0.1, 0.2, 5, 5.1, 5.2, 9]), 0.6)
    assert infomap_labels(graph, eps=0.6, min_samples=2).tolist() == [0, 0, 0, 1, 1, 1, -1]


def test_infomap_is_an_extra_under_another_licence(monkeypatch):
    monkeypatch.setitem(sys.modules, "infomap", None)
    with pytest.raises(ClusteringError, match=r"not installed; its licence is AGPL-3.0.*pip install"):
        infomap_labels(stored_up_to(distances_of([0, 1]), 1), eps=0.5)


@pytest.mark.parametrize("clusterer", [dbscan_labels, agglomerative_labels, infomap_labels])
def test_bad_arguments(clusterer):
    graph = stored_up_to(distances_of([0, 1]), 1)
    with pytest.raises(DataError, match="eps is 0; expected more than 0"):
        clusterer(graph, eps=0)
    with pytest.raises(DataError, match="min_samples is -1"):
        clusterer(graph, eps=0.5, min_samples=-1)
    with pytest.raises(DataError, match=r"distances are ndarray; expected a square scipy.sparse.csr_matrix"):
        clusterer(np.zeros((2, 2)), eps=0.5)
    with pytest.raises(DataError, match=r"distances are csc \(2, 2\)"):
        clusterer(graph.tocsc(), eps=0.5)
    with pytest.raises(DataError, match=r"distances are csr \(1, 2\)"):
        clusterer(graph[:1], eps=0.5)
    graph.data[0] = np.nan
    with pytest.raises(DataError, match="distances go down to nan"):
        clusterer(graph, eps=0.5)


def test_bad_arguments_of_single_clusterers():
    graph = stored_up_to(distances_of([0, 1]), 1)
    with pytest.raises(DataError, match="method is 'ward'"):
        agglomerative_labels(graph, eps=0.5, method="ward")
    with pytest.raises(DataError, match="eps is 1; at 1 or more all images would merge"):
        agglomerative_labels(graph, eps=1)
    with pytest.raises(DataError, match="min_samples is 1 and min_cluster_size 1; expected at least 2"):
        hdbscan_labels(graph, min_samples=1)


def test_require_clusters():
    require_clusters(np.array([-1, 0]), eps=0.4, min_samples=4)
    with pytest.raises(ClusteringError, match=r"all 1,598 images are outliers at .*labels.eps=0.2; raise labels.eps"):
        require_clusters(np.full(1598, -1), eps=0.2, min_samples=4)
    with pytest.raises(ClusteringError, match=r"labels\.min_samples=4; lower labels\.min_samples"):
        require_clusters(np.full(3, -1), min_samples=4)
    with pytest.raises(ClusteringError, match=r"at labels\.track\.min_samples=4; lower labels\.track\.min_samples"):
        require_clusters(np.full(3, -1), min_samples=4, of_tracks=True)


def test_a_cluster_of_more_than_a_quarter_of_the_images_is_said_in_the_log(caplog):
    few = np.repeat([-1, *range(5)], [20, 25, 15, 15, 15, 10])
    log_giant_cluster(few, eps=0.5)
    log_giant_cluster(np.full(5, -1), eps=0.5)
    assert caplog.text == ""
    log_giant_cluster(np.where(few == 4, 0, few), eps=0.5)
    assert "one cluster holds 35 of 100 images" in caplog.text and "labels.eps=0.5 is probably too high" in caplog.text
    caplog.clear()
    log_giant_cluster(np.zeros(1500, np.int64))
    assert "1,500 of 1,500" in caplog.text and "eps" not in caplog.text
