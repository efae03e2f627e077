"""Sparse k-reciprocal Jaccard distance against the released code, plain loops and its own laws."""

import warnings

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.clustering.jaccard import jaccard_distance, jaccard_from_neighbours, jaccard_rows
from ppreid.clustering.labels import dbscan_labels
from ppreid.neighbours import compiled
from ppreid.neighbours.search import nearest_neighbours

GOLDEN_FILES = ["jaccard_N60_D16", "jaccard_N60_D64", "jaccard_N400_D16"]


def jaccard_oracle(features, k1, k2, ranking=None):
    """The dense distance, one image after the other, in float64 and with Python sets."""
    features = features.astype(np.float64)
    n = len(features)
    cosine = features @ features.T
    if ranking is None:
        others = cosine - 4 * np.eye(n)
        ranking = [[i, *np.argsort(-others[i], kind="stable")[:-1]] for i in range(n)]

    def reciprocal(i, k):
        return {j for j in ranking[i][:k] if i in ranking[j][:k]}

    weights = np.zeros((n, n))
    for i in range(n):
        expanded = full = reciprocal(i, k1)
        for member in full:
            half = reciprocal(member, min(int(np.around(k1 / 2)) + 1, k1))
            if 3 * len(half & full) > 2 * len(half):
                expanded = expanded | half
        for j in expanded:
            weights[i, j] = np.exp(-(2 - 2 * cosine[i, j]))
        weights[i] /= weights[i].sum()
    averaged = np.array([np.mean([weights[j] for j in ranking[i][:k2]], axis=0) for i in range(n)])
    distances = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            shared = np.minimum(averaged[i], averaged[j]).sum()
            distances[i, j] = max(0.0, 1 - shared / (2 - shared))
    return distances


@pytest.mark.parametrize("name", GOLDEN_FILES)
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (20, 6), (30, 1)])
def test_equals_the_released_code(name, k1, k2, golden, to_dense):
    reference = golden(name)
    distances = jaccard_distance(reference["features"], k1=k1, k2=k2)
    dense = to_dense(distances)
    np.testing.assert_allclose(dense, reference[f"dist_k{k1}_{k2}"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(dense.sum(1, np.float64), reference[f"rowsum_k{k1}_{k2}"], rtol=0, atol=2e-5)
    for eps in reference["meta"]["eps"]:
        pruned = jaccard_distance(reference["features"], k1=k1, k2=k2, max_distance=eps)
        for matrix in (distances, pruned):
            labels = dbscan_labels(matrix, eps=eps, min_samples=reference["meta"]["min_samples"])
            np.testing.assert_array_equal(labels, reference[f"labels_k{k1}_{k2}_eps{eps}"])


def test_as_many_neighbours_as_images(golden, to_dense):
    reference = golden("jaccard_edge_N20_k30")
    distances = jaccard_distance(reference["features"], k1=20, k2=6)
    np.testing.assert_allclose(to_dense(distances), reference["dist_k20_6"], rtol=0, atol=2e-6)


def test_more_neighbours_than_images_are_clamped_with_a_warning(golden):
    features = golden("jaccard_edge_N20_k30")["features"]
    with pytest.warns(PpreidWarning, match="k1 is 30 but there are only 20 images; using 20"):
        clamped = jaccard_distance(features, k1=30, k2=6)
    assert (clamped != jaccard_distance(features, k1=20, k2=6)).nnz == 0


@pytest.mark.parametrize(("n", "k1", "k2"), [(1, 1, 1), (7, 3, 2), (40, 8, 3), (40, 5, 9), (60, 25, 1)])
def test_equals_plain_loops(n, k1, k2, clustered_features, to_dense):
    features, _ = clustered_features(n)
    distances = jaccard_distance(features, k1=k1, k2=k2)
    np.testing.assert_allclose(to_dense(distances), jaccard_oracle(features, k1, k2), rtol=0, atol=2e-6)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), n=st.integers(5, 40), k1=st.integers(1, 12), k2=st.integers(1, 5))
def test_symmetric_bounded_and_independent_of_the_order_of_images(seed, n, k1, k2):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    order = rng.permutation(n)
    k1, k2 = min(k1, n), min(k2, n)
    distances = jaccard_distance(features, k1=k1, k2=k2)
    assert (distances != distances.T).nnz == 0
    assert distances.has_sorted_indices and distances.dtype == np.float32
    assert distances.data.min() >= 0 and distances.data.max() <= 1
    np.testing.assert_array_equal(distances.diagonal(), 0)
    shuffled = jaccard_distance(features[order], k1=k1, k2=k2)
    np.testing.assert_allclose(shuffled.toarray(), distances[order][:, order].toarray(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("max_distance", [0.2, 0.5, 0.9])
def test_max_distance_only_removes_farther_pairs(max_distance, clustered_features):
    features, _ = clustered_features(80)
    every = jaccard_distance(features, k1=10, k2=3).tocoo()
    near = every.data <= np.float32(max_distance)
    pruned = jaccard_distance(features, k1=10, k2=3, max_distance=max_distance).tocoo()
    np.testing.assert_array_equal(pruned.row, every.row[near])
    np.testing.assert_array_equal(pruned.col, every.col[near])
    np.testing.assert_array_equal(pruned.data, every.data[near])
    assert 80 < near.sum() < len(near)


def test_same_bits_for_any_number_of_threads(clustered_features, monkeypatch):
    features, _ = clustered_features(150)
    _, indices = nearest_neighbours(features, 12)
    threads = numba.get_num_threads()
    results = []
    try:
        for num_threads, parts in [(1, 1), (1, 7), (threads, 3)]:
            numba.set_num_threads(num_threads)
            monkeypatch.setattr(compiled, "PARTS_PER_THREAD", parts)
            results.append(jaccard_from_neighbours(features, indices, k1=12, k2=4))
    finally:
        numba.set_num_threads(threads)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].indptr, other.indptr)
        np.testing.assert_array_equal(results[0].indices, other.indices)
        np.testing.assert_array_equal(results[0].data, other.data)


def test_memory_mapped_float16_equals_rounded_float32(tmp_path, clustered_features):
    features, _ = clustered_features(60)
    half = features.astype(np.float16)
    np.save(tmp_path / "features.npy", half)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    from_file = jaccard_distance(mapped, k1=10, k2=3)
    np.testing.assert_array_equal(from_file.toarray(), jaccard_distance(half, k1=10, k2=3).toarray())
    rounded = half.astype(np.float32)
    np.testing.assert_allclose(from_file.toarray(), jaccard_distance(rounded, k1=10, k2=3).toarray(), rtol=0, atol=1e-6)


def test_identical_images_are_at_distance_zero_and_stored(clustered_features):
    features, _ = clustered_features(30, spread=0.8)
    features[[4, 17, 29]] = features[4]
    distances = jaccard_distance(features, k1=6, k2=1)
    for a, b in [(4, 17), (17, 29), (29, 4)]:
        place = distances.indptr[a] + np.searchsorted(distances[a].indices, b)
        assert distances.indices[place] == b
        assert distances.data[place] < 1e-6


def test_empty_places_of_the_ranking_are_skipped(clustered_features, to_dense):
    features, _ = clustered_features(25)
    _, indices = nearest_neighbours(features, 8)
    found = np.random.default_rng(0).integers(1, 9, 25)
    indices[np.arange(8) >= found[:, None]] = -1
    distances = jaccard_from_neighbours(features, indices, k1=8, k2=3)
    ranking = [row[row >= 0].tolist() for row in indices]
    np.testing.assert_allclose(to_dense(distances), jaccard_oracle(features, 8, 3, ranking), rtol=0, atol=2e-6)


def test_no_warning_and_no_change_of_the_input(clustered_features):
    features, _ = clustered_features(30)
    before = features.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jaccard_distance(features, k1=5, k2=2)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_distance": 0.0}, r"max_distance is 0.0.*expected \(0, 1\]"),
        ({"max_distance": 1.5}, "max_distance is 1.5"),
        ({"k1": 0}, "k1 is 0; expected a positive integer"),
        ({"k2": 2.0}, "k2 is 2.0; expected a positive integer"),
        ({"k1": 9}, "6 neighbours per image are given, 9 needed"),
        ({"indices": np.zeros((3, 6), int)}, r"shape \(3, 6\).*expected 20 rows"),
        ({"indices": np.zeros((20, 6))}, "type float64"),
        ({"indices": np.full((20, 6), 99)}, r"lie in \[99, 99\]"),
        ({"indices": np.zeros((20, 6), int)}, "column 0.*must be the image itself; row 1 has 0"),
    ],
)
def test_bad_arguments(change, message, clustered_features):
    features, _ = clustered_features(20)
    arguments = {"indices": nearest_neighbours(features, 6)[1], "k1": 6, "k2": 2} | change
    with pytest.raises(DataError, match=message):
        jaccard_from_neighbours(features, **arguments)


def test_rows_by_hand():
    """Three images with weights (1/2, 1/2, 0), (0, 1/2, 1/2), (0, 0, 1): S is 1/2, 0 and 1/2."""
    encoding = compiled.SparseRows(
        np.array([0, 2, 4, 5]), np.array([0, 1, 1, 2, 2], np.int32), np.array([0.5, 0.5, 0.5, 0.5, 1], np.float32)
    )
    third = 1 - 0.5 / 1.5
    expected = [[0, third, 0], [third, 0, third], [0, third, 0]]
    distances = jaccard_rows(encoding, 1.0)
    np.testing.assert_allclose(distances.toarray(), expected, rtol=1e-6)
    assert distances.nnz == 7  # the pair without a common column is not stored, the diagonal is
