"""Neighbour search: exact, approximate, by camera, on both backends."""

import logging
import subprocess
import sys
import types

import numpy as np
import pytest

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.neighbours import ranking, tiles
from ppreid.neighbours import search as neighbours
from ppreid.neighbours.search import camera_neighbours, estimate_recall, nearest_neighbours
from ppreid.tables import NEIGHBOURS


def ranking_oracle(features, k):
    """Every image first, then the others by cosine in float64."""
    cosine = features.astype(np.float64) @ features.astype(np.float64).T
    np.fill_diagonal(cosine, 2.0)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :k]


def test_golden_rankings(golden):
    reference, _ = golden("jaccard_N400_D16")
    _, indices = nearest_neighbours(reference["features"], 30)
    for cut in (6, 16, 30):  # the released search may order near-ties differently within a cut
        for ours, theirs in zip(indices[:, :cut], reference["initial_rank_k30"][:, :cut], strict=True):
            assert set(ours) == set(theirs)


@pytest.mark.parametrize("backend", ["cpu", "paddle"])
@pytest.mark.parametrize("rows_per_tile", [7, 64, 4096])
def test_equals_a_full_sort_for_any_block_size(rows_per_tile, backend, clustered_features, monkeypatch):
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", rows_per_tile)
    features, _ = clustered_features(150, dim=24)
    similarities, indices = nearest_neighbours(features, 9, backend=backend)
    np.testing.assert_array_equal(indices, ranking_oracle(features, 9))
    expected = np.einsum("nd,nkd->nk", features, features[indices])
    np.testing.assert_allclose(similarities, expected, rtol=0, atol=1e-6)
    assert indices.dtype == np.int32 and similarities.dtype == np.float32


@pytest.mark.parametrize("rows_per_tile", [5, 4096])
def test_self_first_then_duplicates_by_number(rows_per_tile, monkeypatch):
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", rows_per_tile)
    features = np.repeat(np.eye(4, dtype=np.float32), 4, axis=0)[np.arange(16).reshape(4, 4).T.ravel()]
    _, indices = nearest_neighbours(features, 5)  # image i equals images i + 4, i + 8, ...
    for image in range(16):
        same = [other for other in range(16) if other % 4 == image % 4 and other != image]
        least = min(other for other in range(16) if other % 4 != image % 4)
        assert indices[image].tolist() == [image, *same, least]


def test_float16_float64_and_memory_map(tmp_path, clustered_features):
    features, _ = clustered_features(90)
    half = features.astype(np.float16)
    np.save(tmp_path / "half.npy", half)
    for stored in (half, np.load(tmp_path / "half.npy", mmap_mode="r"), np.asfortranarray(half)):
        _, indices = nearest_neighbours(stored, 6)
        np.testing.assert_array_equal(indices, nearest_neighbours(half.astype(np.float32), 6)[1])
    double = nearest_neighbours(features.astype(np.float64), 6)
    np.testing.assert_array_equal(double[1], nearest_neighbours(features, 6)[1])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_images_than_neighbours(n, clustered_features):
    features, _ = clustered_features(n)
    with pytest.warns(PpreidWarning, match=f"k is 30 but there are only {n} images; using {n}"):
        _, indices = nearest_neighbours(features, 30)
    np.testing.assert_array_equal(indices, ranking_oracle(features, n))


def test_inverted_lists_that_are_all_searched_are_exact(clustered_features, monkeypatch):
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", 50)
    features, _ = clustered_features(300, num_ids=20)
    _, indices = nearest_neighbours(features, 8, method="ivf", num_lists=12, num_probes=99)
    np.testing.assert_array_equal(indices, nearest_neighbours(features, 8)[1])


def test_inverted_lists_find_most_neighbours_and_repeat_themselves(clustered_features):
    features, _ = clustered_features(600, num_ids=40, spread=0.3)
    arguments = {"method": "ivf", "num_lists": 40, "num_probes": 1}
    _, indices = nearest_neighbours(features, 10, **arguments, rng=np.random.default_rng(7))
    _, again = nearest_neighbours(features, 10, **arguments, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(indices, again)
    exact = nearest_neighbours(features, 10)[1]
    recall = np.mean([np.isin(exact[i, 1:], indices[i, 1:]).mean() for i in range(600)])
    assert 0.9 < recall < 1
    estimate = estimate_recall(features, indices, rng=np.random.default_rng(0), num_images=10_000)
    assert estimate == pytest.approx(recall)


@pytest.mark.parametrize("same_group", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_refinement_equals_plain_loops(same_group, dtype, clustered_features):
    features = clustered_features(60, num_ids=3)[0].astype(dtype)
    groups = np.arange(60) % 2
    cosine = features.astype(np.float64) @ features.astype(np.float64).T
    start = ranking.Ranking(groups, 5, same_group=same_group)
    rng = np.random.default_rng(0)
    for i in range(60):
        some = rng.choice(60, rng.integers(0, 15), replace=False)
        start.merge(ranking.Tile(cosine[[i]][:, some].astype(np.float32), np.array([i]), some))
    before = start.indices.copy()
    found = rng.integers(-1, 60, (60, 3)).astype(np.int32)
    start.refine(features, found)
    for i in range(60):
        candidates = set(before[i]) | {c for j in found[i] if j >= 0 for c in found[j]}
        allowed = {c for c in candidates - {-1, i} if (groups[c] == groups[i]) == same_group}
        expected = sorted(allowed, key=lambda c: -cosine[i, c])[:5]
        assert start.indices[i].tolist() == expected + [-1] * (5 - len(expected))
    assert np.any(start.indices != before)


@pytest.mark.parametrize("seed", range(5))
def test_equal_candidates_rank_by_number_whatever_the_order_of_the_tiles(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (20, 20)).astype(np.float32)  # three values: ties at every place
    scores = np.maximum(scores, scores.T)
    best = ranking.Ranking(np.zeros(20, np.int64), 6, same_group=True)
    for columns in np.split(rng.permutation(20), 5):
        best.merge(ranking.Tile(np.ascontiguousarray(scores[:, columns]), np.arange(20), columns))
    for i in range(20):
        others = [j for j in range(20) if j != i]
        assert best.indices[i].tolist() == sorted(others, key=lambda j: (-scores[i, j], j))[:6]


def test_too_few_candidates_leave_empty_places(clustered_features):
    features, _ = clustered_features(60, num_ids=10)
    similarities, indices = nearest_neighbours(features, 30, method="ivf", num_lists=10, num_probes=1)
    assert np.any(indices == -1)
    np.testing.assert_array_equal(similarities == -np.inf, indices == -1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(60))


def test_auto_is_exact_below_its_limit_and_reports_recall_above(clustered_features, monkeypatch, caplog):
    features, _ = clustered_features(200, num_ids=20)
    with caplog.at_level(logging.INFO, logger=neighbours.__name__):
        _, indices = nearest_neighbours(features, 5, method="auto")
        assert not caplog.records
        np.testing.assert_array_equal(indices, nearest_neighbours(features, 5)[1])
        monkeypatch.setitem(NEIGHBOURS, "auto", NEIGHBOURS["auto"]._replace(exact_up_to=199))
        nearest_neighbours(features, 5, method="auto", num_lists=8, num_probes=8)
    assert "recall 1.000" in caplog.text
    with pytest.warns(PpreidWarning, match="use method='exact', or 'ivf' with a higher num_probes"):
        nearest_neighbours(features, 50, method="auto", num_lists=40, num_probes=1)


@pytest.mark.parametrize("rows_per_tile", [11, 4096])
def test_camera_rankings_equal_plain_loops(rows_per_tile, clustered_features, monkeypatch):
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", rows_per_tile)
    features, _ = clustered_features(70)
    camids = np.random.default_rng(0).integers(0, 4, 70)
    camids[:2] = 9  # a camera with two images only
    intra, inter = camera_neighbours(features, camids, k_intra=4, k_inter=6)
    full = ranking_oracle(features, 70)
    for i in range(70):
        same = [j for j in full[i] if camids[j] == camids[i]][:4]
        other = [j for j in full[i] if camids[j] != camids[i]][:6]
        assert intra[i].tolist() == same + [-1] * (4 - len(same))
        assert inter[i].tolist() == other


def test_cameras_with_inverted_lists(clustered_features):
    features, _ = clustered_features(100)
    camids = np.arange(100) % 3
    exact = camera_neighbours(features, camids, k_intra=4, k_inter=6)
    listed = camera_neighbours(features, camids, k_intra=4, k_inter=6, method="ivf", num_lists=5, num_probes=5)
    np.testing.assert_array_equal(exact[0], listed[0])
    np.testing.assert_array_equal(exact[1], listed[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "exakt"}, "method is 'exakt'; did you mean 'exact'"),
        ({"backend": "padle"}, "backend is 'padle'; did you mean 'paddle'"),
        ({"k": 0}, "k is 0; expected a positive integer"),
        ({"method": "ivf", "num_lists": 31}, "num_lists is 31"),
        ({"method": "ivf", "num_probes": 0}, "num_probes 0"),
    ],
)
def test_bad_arguments(arguments, message, clustered_features):
    features, _ = clustered_features(30)
    with pytest.raises(DataError, match=message):
        nearest_neighbours(features, **({"k": 3} | arguments))


@pytest.mark.parametrize(
    ("camids", "message"),
    [
        (np.array([0, 1, -1, -1, 0]), r"2 of 5 images have no camera id \(-1\), the first is row 2"),
        (np.zeros(4, int), r"camids have shape \(4,\).*expected \(5,\) integers"),
        (np.zeros(5), "type float64"),
    ],
)
def test_bad_cameras(camids, message, clustered_features):
    features, _ = clustered_features(5)
    with pytest.raises(DataError, match=message):
        camera_neighbours(features, camids, k_intra=2, k_inter=2)


def test_auto_backend_follows_the_device_that_the_program_selected(monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle", types.SimpleNamespace(get_device=lambda: "gpu:0"))
    assert tiles.choose_matmul("auto") is tiles.choose_matmul("paddle")
    monkeypatch.setitem(sys.modules, "paddle", types.SimpleNamespace(get_device=lambda: "cpu"))
    assert tiles.choose_matmul("auto") is tiles.choose_matmul("cpu")


def test_the_cpu_path_imports_neither_paddle_nor_faiss():
    program = (
        "import sys, numpy as np\n"
        "from ppreid.clustering import alternative_labels, camera_jaccard, jaccard, labels, quality\n"
        "jaccard.nearest_neighbours(np.eye(3, dtype=np.float32), 2)\n"
        "print({'paddle', 'faiss', 'infomap'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
