"""Silhouette, the sweep over eps, and its table."""

import math

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels
from ppreid.clustering.quality import clustering_statistics, pseudo_label_quality
from ppreid.clustering.sweep import SweepRow, advised_eps, sparse_silhouette, sweep_eps, sweep_table


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


def row(eps, clusters, outliers, largest, silhouette):
    return SweepRow(eps, clusters, outliers, largest, silhouette, math.nan)


# what a network of drawn people gave, 1,684 images of 72 of them (ARI 0.49, 0.62, 0.56, 0.44, 0.15)
DRAWN = [
    row(0.2, 76, 681, 36, 0.730),
    row(0.4, 68, 276, 53, 0.620),
    row(0.5, 55, 149, 87, 0.535),
    row(0.55, 46, 112, 151, 0.458),
    row(0.6, 27, 66, 490, 0.266),
]


def test_the_advice_is_neither_the_most_outliers_nor_the_giant_cluster():
    scores = {one.eps: one.silhouette * (1684 - one.outliers) / 1684 for one in DRAWN if one.largest <= 1684 / 4}
    found = advised_eps(DRAWN, 1684)
    assert found.eps == max(scores, key=scores.get) == 0.4
    assert "silhouette 0.62 and 16% outliers, in 68 clusters of at most 53" in found.reason
    assert found.reason.endswith("from 0.6 on one cluster holds more than a quarter")


def test_a_giant_cluster_is_never_advised_however_well_it_separates():
    giant = row(0.7, 2, 0, 26, 0.99)
    assert advised_eps([row(0.3, 5, 90, 4, 0.1), giant], 100).eps == 0.3
    assert advised_eps([row(0.3, 5, 90, 4, 0.1), giant._replace(largest=25)], 100).eps == 0.7


def test_where_no_value_can_be_advised_it_says_in_which_direction():
    none = row(0.2, 0, 100, 0, math.nan)
    assert advised_eps([none], 100) == (None, "every value leaves outliers alone; try higher ones")
    assert "try lower ones" in advised_eps([none, row(0.7, 1, 0, 100, math.nan)], 100).reason


def test_the_last_value_of_a_sweep_is_not_taken_for_the_best_of_all():
    assert "one beyond it may be better" in advised_eps(DRAWN[:2], 1684).reason
    assert "beyond" not in advised_eps(DRAWN[1:2], 1684).reason
