"""Distances and clusters by rows, in any number of parts, are those of all rows at once, bit for bit."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from ppreid.base.errors import DataError
from ppreid.clustering.by_rows import encoded_rows, joined_labels, near_rows
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels
from ppreid.disk.shards import all_shards
from ppreid.neighbours import certified, ranking, row_search, tiles
from ppreid.neighbours.compiled import SparseRows
from ppreid.neighbours.row_search import row_neighbours
from ppreid.neighbours.search import nearest_neighbours

BLOCK = 32
COUNTS = (1, 2, 3, 7, 40)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of which 300 images have ten, the last one not full."""
    for owner, name, value in (
        (tiles, "ROWS_PER_TILE", 16),
        (ranking, "ROWS_PER_BLOCK", BLOCK),
        (row_search, "ROWS_PER_SHARE", BLOCK),
        (certified, "MIN_IMAGES", 40),
        (certified, "MIN_DIM", 16),
        (certified, "SAMPLE", 24),
        (certified, "SPARE", 3),
        (certified, "NUM_DIRECTIONS", (4, 12)),
    ):
        monkeypatch.setattr(owner, name, value)


def parts(num_rows, count):
    return [shard.rows(num_rows, block=BLOCK) for shard in all_shards(count)]


def matrix(dense):
    """Sparse rows of a boolean matrix."""
    rows, columns = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
    return SparseRows(indptr, columns.astype(np.int32), np.zeros(len(columns), np.float32))


def cut(dense, count):
    return [matrix_rows(matrix(dense), rows) for rows in parts(len(dense), count)]


def matrix_rows(whole, rows):
    first, stop = whole.indptr[rows.start], whole.indptr[rows.stop]
    return SparseRows(whole.indptr[rows.start : rows.stop + 1] - first, *(array[first:stop] for array in whole[1:]))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("method", "backend"), [("exact", "cpu"), ("certified", "cpu"), ("exact", "paddle")])
def test_neighbours(count, method, backend, clustered_features):
    # duplicates in several parts: equal similarities come in the same order, and so do those that round apart
    features = clustered_features(200, dim=64, num_ids=40, spread=0.3)[0][np.arange(300) % 200]
    whole = nearest_neighbours(features, 9, method=method, backend=backend)[1]
    found = [row_neighbours(features, 9, rows, method=method, backend=backend) for rows in parts(300, count)]
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert found[0].dtype == np.int32


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (5, 1), (1, 1), (3, 8)])
def test_distances_and_labels(count, k1, k2, clustered_features):
    features, _ = clustered_features(300, dim=32, num_ids=30, spread=0.8)
    whole = jaccard_distance(features, k1=k1, k2=k2, max_distance=0.6, backend="cpu")
    shares = parts(300, count)
    found = np.concatenate([row_neighbours(features, max(k1, k2), rows, backend="cpu") for rows in shares])
    encoding = [encoded_rows(features, found, rows, k1=k1, k2=k2) for rows in shares]
    near = [near_rows(encoding, rows, max_distance=0.6) for rows in shares]
    np.testing.assert_array_equal(np.concatenate([part.indices for part in near]), whole.indices)
    np.testing.assert_array_equal(np.concatenate([part.values for part in near]), whole.data)
    np.testing.assert_array_equal(np.concatenate([np.diff(part.indptr) for part in near]), np.diff(whole.indptr))
    labels = joined_labels(near, min_samples=4)
    np.testing.assert_array_equal(labels, dbscan_labels(whole, eps=0.6, min_samples=4))
    assert labels.dtype == np.int64


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("density", [0.0, 0.003, 0.008, 0.02, 0.2])
@pytest.mark.parametrize("min_samples", [1, 2, 4])
def test_labels_of_any_graph_are_those_of_scikit_learn(count, density, min_samples):
    drawn = np.random.default_rng(int(1000 * density)).random((200, 200)) < density
    near = drawn | drawn.T | np.eye(200, dtype=bool)
    expected = DBSCAN(eps=0.5, min_samples=min_samples, metric="precomputed").fit_predict(1.0 - near)
    np.testing.assert_array_equal(joined_labels(cut(near, count), min_samples=min_samples), expected)


def test_a_border_point_goes_to_the_first_cluster_and_two_ends_of_a_chain_are_one():
    near = np.eye(96, dtype=bool)
    chains = [(row, row + step) for rows in (range(2, 40), range(50, 90)) for row in rows for step in (1, 2)]
    for a, b in [*chains, (60, 0), (30, 0)]:  # image 0 is near the middle of both
        near[a, b] = near[b, a] = True
    expected = np.full(96, -1)
    expected[2:42], expected[50:92], expected[0] = 0, 1, 0
    for count in (1, 3):
        assert joined_labels(cut(near, count), min_samples=4).tolist() == expected.tolist()
    alone = np.eye(64, dtype=bool)
    assert joined_labels(cut(alone, 2), min_samples=2).tolist() == 64 * [-1]


def test_wrong_arguments(clustered_features):
    features, _ = clustered_features(100)
    with pytest.raises(DataError, match=r"rows are range\(0, 33\); expected a range between multiples of 32"):
        row_neighbours(features, 5, range(33))
    with pytest.raises(DataError, match="method 'ivf' is not exact for 100 images; use 'certified' or 'exact'"):
        row_neighbours(features, 5, range(32), method="ivf")
    with pytest.raises(DataError, match="min_samples is 0"):
        joined_labels(cut(np.eye(32, dtype=bool), 1), min_samples=0)
