"""Cluster centroids against plain loops."""

import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.clustering import labels as module
from ppreid.clustering.labels import cluster_centroids


@pytest.mark.parametrize("rows_per_block", [1, 7, 8192])
def test_equals_plain_loops(rows_per_block, clustered_features, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", rows_per_block)
    features, labels = clustered_features(50)
    labels[::7] = -1
    result = cluster_centroids(features, labels)
    for cluster in range(labels.max() + 1):
        mean = features[labels == cluster].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(result[cluster], mean / np.linalg.norm(mean), rtol=0, atol=1e-6)
    assert result.dtype == np.float32 and result.shape == (labels.max() + 1, 16)


def test_memory_mapped_float16(tmp_path, clustered_features):
    features, labels = clustered_features(50)
    np.save(tmp_path / "features.npy", features.astype(np.float16))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    np.testing.assert_allclose(cluster_centroids(mapped, labels), cluster_centroids(features, labels), atol=1e-3)


def test_only_outliers_give_no_rows(clustered_features):
    features, _ = clustered_features(5)
    assert cluster_centroids(features, np.full(5, -1)).shape == (0, 16)


def test_opposite_features_give_a_zero_row():
    features = np.array([[1, 0], [-1, 0]], np.float32)
    np.testing.assert_array_equal(cluster_centroids(features, np.array([0, 0])), [[0, 0]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 2, 2]), "no image has label 1, but labels go up to 2"),
        (np.array([0, 1]), r"labels have shape \(2,\).*expected \(3,\) integers"),
        (np.array([0.0, 1.0, 1.0]), "type float64"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(DataError, match=message):
        cluster_centroids(np.eye(3, dtype=np.float32), labels)
