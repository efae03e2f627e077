"""Approximate neighbours by a graph that improves itself: what it finds, and that threads change nothing."""

import logging

import numba
import numpy as np
import pytest

from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.config.load import load_config
from ppreid.neighbours import certified, descent
from ppreid.neighbours.search import camera_neighbours, estimate_recall, nearest_neighbours
from ppreid.tables import NEIGHBOURS

pytestmark = pytest.mark.slow  # whoever makes the first graph of a process waits half a minute for the compiler


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(n, dim, *, directions=8, noise=0.02, seed=0):
    """Images of people who are seen more and less often, along a few directions."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 6 + 1, directions))
    latent = centres[np.minimum(rng.geometric(0.02, n), n // 6)] + 0.2 * rng.standard_normal((n, directions))
    return unit(latent @ rng.standard_normal((directions, dim)) + noise * rng.standard_normal((n, dim)))


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch):
    """A graph, and short vectors, at sizes at which plain loops are quick; how many directions were tried."""
    for name in ("nn_descent", "auto"):
        monkeypatch.setitem(NEIGHBOURS, name, NEIGHBOURS[name]._replace(exact_up_to=0))
    for name, value in {"MIN_IMAGES": 40, "MIN_DIM": 16, "NUM_DIRECTIONS": (4, 12)}.items():
        monkeypatch.setattr(certified, name, value)
    tried, real = [], certified.short_vectors
    monkeypatch.setattr(certified, "short_vectors", lambda f, d: tried.append(d.shape[1]) or real(f, d))
    return tried


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_nearly_all_are_found_in_their_order_and_threads_change_nothing(dtype, at_any_size, caplog):
    features, before = people(1500, 64, noise=0.1).astype(dtype), numba.get_num_threads()
    results = []
    with caplog.at_level(logging.INFO, logger=descent.__name__):
        for threads in (1, before):
            numba.set_num_threads(threads)
            try:
                results.append(nearest_neighbours(features, 20, method="nn_descent"))
                assert numba.get_num_threads() == threads
            finally:
                numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    assert at_any_size[0] == 4 and "13 numbers of 64 for each of 1500 images" in caplog.text
    similarities, indices = results[0]
    assert estimate_recall(features, indices, rng=np.random.default_rng(5), num_images=1500) >= 0.98
    np.testing.assert_array_equal(indices[:, 0], np.arange(1500))
    assert all(len(set(row)) == 20 for row in indices.tolist())
    products = np.einsum("nd,nkd->nk", features.astype(np.float64), features.astype(np.float64)[indices])
    np.testing.assert_array_equal(similarities[:, 1:], products.astype(np.float32)[:, 1:])
    assert np.all(np.diff(similarities, axis=1)[:, 1:] <= 0)


def test_duplicates_rank_by_number_behind_the_image_itself(at_any_size):
    features = np.repeat(people(60, 48), 3, axis=0)[np.random.default_rng(1).permutation(180)]
    _, indices = nearest_neighbours(features, 6, method="nn_descent")
    assert at_any_size
    for i in range(180):
        twins = [j for j in range(180) if j != i and (features[j] == features[i]).all()]
        assert indices[i, :3].tolist() == [i, *twins]


def test_as_many_duplicates_as_there_are_images():
    _, indices = nearest_neighbours(np.repeat(people(1, 48), 150, axis=0), 5, method="nn_descent")
    np.testing.assert_array_equal(indices[:, 0], np.arange(150))
    assert all(len(set(row)) == 5 and min(row) >= 0 for row in indices.tolist())


def test_features_that_vary_along_all_directions_are_compared_as_they_are(at_any_size):
    features = unit(np.random.default_rng(2).standard_normal((300, 64)))
    similarities, indices = nearest_neighbours(features, 5, method="nn_descent")
    assert at_any_size == [4, 12]
    exact = nearest_neighbours(features, 5)
    assert np.mean(indices == exact[1]) > 0.95
    np.testing.assert_allclose(similarities, exact[0], atol=0.02)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_fewer_images_than_neighbours(n):
    features = people(n, 12)
    with pytest.warns(PpreidWarning, match="k is 20"):
        _, indices = nearest_neighbours(features, 20, method="nn_descent")
    np.testing.assert_array_equal(indices, nearest_neighbours(features, n)[1])


def test_auto_takes_lists_where_they_are_asked_for_and_a_graph_elsewhere(monkeypatch, caplog):
    features = people(300, 48)
    with caplog.at_level(logging.INFO, logger="ppreid"):
        nearest_neighbours(features, 5, method="auto", num_probes=3)
        assert "3 of 138 lists" in caplog.text and "a graph" not in caplog.text
        nearest_neighbours(features, 5, method="auto")
        assert "a graph of their neighbours begins" in caplog.text
        caplog.clear()
        camera_neighbours(features, np.arange(300) % 3, k_intra=3, k_inter=4, method="auto")
    assert "lists" in caplog.text and "a graph" not in caplog.text


def test_few_images_are_searched_exactly(monkeypatch):
    monkeypatch.setitem(NEIGHBOURS, "nn_descent", NEIGHBOURS["nn_descent"]._replace(exact_up_to=300))
    monkeypatch.setattr(descent, "rank_by_descent", None)  # would not be called in vain
    features = people(300, 48)
    ours, exact = nearest_neighbours(features, 5, method="nn_descent"), nearest_neighbours(features, 5)
    np.testing.assert_array_equal(ours[1], exact[1])


def test_cameras_are_not_told_apart():
    with pytest.raises(DataError, match="'nn_descent' does not tell cameras apart; use 'ivf'"):
        camera_neighbours(people(60, 12), np.arange(60) % 3, k_intra=3, k_inter=4, method="nn_descent")
    keys = ["labels.neighbours=nn_descent", "labels.distance=camera_jaccard"]
    with pytest.raises(ConfigError, match=r"labels\.neighbours is nn_descent, which does not tell cameras apart"):
        load_config("configs/demo.yaml", keys)
