"""Silhouette, the sweep over eps, and its table."""

import math

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels
from ppreid.clustering.quality import clustering_statistics, pseudo_label_quality
from ppreid.clustering.sweep import SweepRow, sparse_silhouette, sweep_eps, sweep_table


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


def test_the_sweep_table_leaves_out_ari_when_it_is_not_known():
    row = SweepRow(eps=0.5, clusters=7, outliers=25, largest=9, silhouette=0.25, ari=float("nan"))
    assert sweep_table([row], 100).split() == [
        *("eps", "clusters", "outliers", "largest", "silhouette"),
        "-" * 56,
        *("0.500", "7", "25", "(25.0%)", "9", "0.250"),
    ]
    assert sweep_table([row._replace(ari=0.5)], 100).endswith("0.500")


def test_the_sweep_table_names_a_cluster_that_swallows_the_others():
    row = SweepRow(eps=0.5, clusters=7, outliers=0, largest=25, silhouette=0.25, ari=float("nan"))
    assert sweep_table([row], 100).endswith("0.250")
    assert sweep_table([row._replace(largest=26)], 100).endswith("0.250  one giant cluster")
