"""Statistics, agreement with identities, silhouette and the sweep over eps."""

import math

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from ppreid.base.errors import DataError
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels
from ppreid.clustering.quality import clustering_statistics, pseudo_label_quality, sparse_silhouette, sweep_eps


def test_statistics_by_hand():
    assert clustering_statistics(np.array([1, -1, 0, 1, 1, -1])) == (2, 2, 3)
    assert clustering_statistics(np.array([-1, -1])) == (0, 2, 0)


def test_perfect_and_renamed_labels():
    assert pseudo_label_quality(np.array([1, 1, 0, 0]), np.array([8, 8, 3, 3])) == (1, 1, 0, 0)


def test_mixed_and_split_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2, -1, -1])
    pids = np.array([5, 5, 6, 6, 6, 7, 7, 9])
    quality = pseudo_label_quality(labels, pids)
    assert quality.mixed_clusters == pytest.approx(1 / 3)  # cluster 0 holds 5 and 6
    assert quality.split_identities == pytest.approx(1 / 3)  # of 5, 6, 7 only 6 lies in two clusters; 9 in none
    assert 0 < quality.ari < 1


def test_outliers_are_clusters_of_their_own():
    pids = np.array([0, 0, 1, 1, 2, 3])
    assert pseudo_label_quality(np.array([0, 0, 1, 1, -1, -1]), pids).ari == 1
    as_one = pseudo_label_quality(np.array([0, 0, 1, 1, 2, 2]), pids).ari
    assert as_one < 1


def test_unknown_identities_are_left_out():
    labels, pids = np.array([0, 0, 1, 1, 0]), np.array([4, 4, 5, 5, -1])
    assert pseudo_label_quality(labels, pids) == (1, 1, 0, 0)
    assert all(math.isnan(value) for value in pseudo_label_quality(labels, np.full(5, -1)))
    nothing_clustered = pseudo_label_quality(np.full(5, -1), pids)
    assert math.isnan(nothing_clustered.mixed_clusters) and nothing_clustered.ari == 0
    with pytest.raises(DataError, match="pids have shape"):
        pseudo_label_quality(labels, pids[:3])


@pytest.mark.parametrize("eps", [0.3, 0.5, 0.7])
def test_silhouette_equals_the_dense_one(eps, clustered_features, to_dense):
    features, _ = clustered_features(120, num_ids=8, spread=0.6)
    distances = jaccard_distance(features, k1=10, k2=3)
    labels = dbscan_labels(distances, eps=eps)
    dense = to_dense(distances)[labels >= 0][:, labels >= 0]
    expected = silhouette_samples(dense, labels[labels >= 0], metric="precomputed").mean()
    assert sparse_silhouette(distances, labels) == pytest.approx(expected, abs=1e-5)


def test_silhouette_without_two_clusters(clustered_features):
    features, _ = clustered_features(20)
    distances = jaccard_distance(features, k1=4, k2=2)
    assert math.isnan(sparse_silhouette(distances, np.full(20, -1)))
    assert math.isnan(sparse_silhouette(distances, np.zeros(20, int)))
    assert sparse_silhouette(distances, np.arange(20)) == 0  # everyone alone


def test_sweep(clustered_features):
    features, pids = clustered_features(150, num_ids=10, spread=0.6)
    distances = jaccard_distance(features, k1=10, k2=3, max_distance=0.7)
    rows = sweep_eps(distances, [0.3, 0.5, 0.7], pids=pids)
    assert [row.eps for row in rows] == [0.3, 0.5, 0.7]
    for row in rows:
        labels = dbscan_labels(distances, eps=row.eps)
        assert row[1:4] == clustering_statistics(labels)
        assert row.ari == pseudo_label_quality(labels, pids).ari
    assert rows[0].outliers >= rows[1].outliers >= rows[2].outliers
    assert math.isnan(sweep_eps(distances, [0.5])[0].ari)
