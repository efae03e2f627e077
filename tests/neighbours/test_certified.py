"""Neighbours that are certified equal exact search, whatever the features are."""

import numpy as np
import pytest

from ppreid.neighbours import certified, tiles
from ppreid.neighbours.search import camera_neighbours, nearest_neighbours


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Sizes at which plain loops are quick."""
    for name, value in {"MIN_IMAGES": 40, "MIN_DIM": 16, "SAMPLE": 24, "SPARE": 3, "NUM_DIRECTIONS": (4, 12)}.items():
        monkeypatch.setattr(certified, name, value)
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", 64)


@pytest.fixture
def ways(monkeypatch):
    """How many images each ranking left for the search in full; empty where no bound was worth it."""
    seen = []
    real = certified._search_in_full

    def spy(features, ranking, rows):
        seen.append(len(rows))
        real(features, ranking, rows)

    monkeypatch.setattr(certified, "_search_in_full", spy)
    return seen


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def oracle(features, k, allowed=None):
    """The image itself, then all others one by one: descending similarity, equal ones by number."""
    features = features.astype(np.float64)
    result = []
    for i in range(len(features)):
        others = [j for j in range(len(features)) if j != i and (allowed is None or allowed(i, j))]
        score = {j: np.float32(sum(features[i] * features[j])) for j in others}
        result.append([i, *sorted(others, key=lambda j: (-score[j], j))[: k - 1]])
    return np.array(result)


def along_few(n, dim, rng, noise=0.02):
    """Clusters that vary along eight directions, as those of a trained network do, and a little along all."""
    centres = rng.standard_normal((n // 8, 8))
    latent = centres[rng.integers(0, len(centres), n)] + 0.3 * rng.standard_normal((n, 8))
    return unit(latent @ rng.standard_normal((8, dim)) + noise * rng.standard_normal((n, dim)))


def grid(n, dim, rng):
    """Rows of +-1/8, whose products float32 holds exactly: many are equal."""
    return rng.choice([-1.0, 1.0], (n, dim)).astype(np.float32) / np.float32(dim**0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_clustered_features_are_decided_and_equal_plain_loops(dtype, ways):
    features = along_few(200, 48, np.random.default_rng(0), noise=0.3).astype(dtype)
    similarities, indices = nearest_neighbours(features, 7, method="certified")
    np.testing.assert_array_equal(indices, oracle(features, 7))
    products = np.einsum("nd,nkd->nk", features.astype(np.float64), features.astype(np.float64)[indices])
    np.testing.assert_array_equal(similarities[:, 1:], products.astype(np.float32)[:, 1:])
    assert len(ways) == 1 and 0 < ways[0] < 40, "some images, but few, are left for the search in full"


def test_duplicates_rank_by_number(ways):
    rng = np.random.default_rng(1)
    features = along_few(60, 48, rng)[rng.permutation(np.repeat(np.arange(60), 3))]
    _, indices = nearest_neighbours(features, 6, method="certified")
    np.testing.assert_array_equal(indices, oracle(features, 6))
    assert ways


def test_more_duplicates_than_candidates_are_searched_in_full(ways, monkeypatch):
    monkeypatch.setattr(certified, "WORTH_IT", 0.5)
    features = along_few(200, 48, np.random.default_rng(2))
    features[:12] = features[0]  # of 5 neighbours and 3 more candidates
    _, indices = nearest_neighbours(features, 6, method="certified")
    np.testing.assert_array_equal(indices, oracle(features, 6))
    assert 12 <= ways[0] < 100


def test_low_rank_with_many_ties(ways):
    rng = np.random.default_rng(3)
    corners = np.zeros((150, 64), np.float32)
    corners[:, :4] = rng.choice([-0.5, 0.5], (150, 4))  # sixteen different rows
    for k in (3, 9, 30):
        _, indices = nearest_neighbours(corners, k, method="certified")
        np.testing.assert_array_equal(indices, nearest_neighbours(corners, k)[1])
        np.testing.assert_array_equal(indices, oracle(corners, k))


@pytest.mark.parametrize(
    "features",
    [
        np.tile(unit(np.ones((1, 64))), (90, 1)),
        grid(90, 64, np.random.default_rng(4)),
        unit(np.random.default_rng(5).standard_normal((90, 64))),
    ],
    ids=["all the same", "corners of a cube", "the whole sphere"],
)
def test_where_no_bound_helps_that_is_noticed_and_the_result_is_that_of_exact_search(features, ways):
    found, exact = nearest_neighbours(features, 5, method="certified"), nearest_neighbours(features, 5)
    assert not ways
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_more_directions_are_tried_before_it_gives_up(ways, monkeypatch):
    tried = []
    real = certified.short_vectors
    monkeypatch.setattr(certified, "short_vectors", lambda f, d: tried.append(d.shape[1]) or real(f, d))
    rng = np.random.default_rng(6)
    features = unit(along_few(150, 64, rng) + 0.5 * along_few(150, 64, rng))  # along sixteen directions
    monkeypatch.setattr(certified, "NUM_DIRECTIONS", (4, 20))
    _, indices = nearest_neighbours(features, 5, method="certified")
    np.testing.assert_array_equal(indices, oracle(features, 5))
    assert tried == [4, 20] and ways


@pytest.mark.parametrize("k", [1, 2])
def test_few_neighbours(k):
    features = along_few(80, 48, np.random.default_rng(7))
    similarities, indices = nearest_neighbours(features, k, method="certified")
    np.testing.assert_array_equal(indices, oracle(features, k))
    np.testing.assert_array_equal(similarities[:, 0], 1)


def test_as_many_neighbours_as_images():
    features = along_few(44, 48, np.random.default_rng(8))
    _, indices = nearest_neighbours(features, 44, method="certified")
    np.testing.assert_array_equal(indices, oracle(features, 44))


def test_cameras(ways):
    rng = np.random.default_rng(9)
    features, camids = along_few(160, 48, rng), rng.integers(0, 3, 160)
    camids[:2] = 7  # a camera of two images: places stay empty
    intra, inter = camera_neighbours(features, camids, k_intra=5, k_inter=4, method="certified")
    exact = camera_neighbours(features, camids, k_intra=5, k_inter=4)
    np.testing.assert_array_equal(intra, exact[0])
    np.testing.assert_array_equal(inter, exact[1])
    np.testing.assert_array_equal(inter[5:], oracle(features, 5, lambda i, j: camids[i] != camids[j])[5:, 1:])
    assert len(ways) == 2


def test_no_bound_is_below_a_similarity():
    rng = np.random.default_rng(10)
    for features in (along_few(70, 48, rng), unit(rng.standard_normal((70, 48))), np.eye(64, dtype=np.float32)):
        directions = certified.directions(features, 12, rng)
        np.testing.assert_allclose(directions.T @ directions, np.eye(12), atol=1e-13)
        short = certified.short_vectors(features, directions)
        similarities = features.astype(np.float64) @ features.astype(np.float64).T
        assert (short @ short.T + certified.margin(12) >= similarities).all()


@pytest.mark.parametrize(("n", "dim"), [(39, 48), (60, 15)])
def test_small_sets_are_searched_in_full_at_once(n, dim, monkeypatch):
    monkeypatch.setattr(certified, "directions", None)
    features = unit(np.random.default_rng(11).standard_normal((n, dim)))
    _, indices = nearest_neighbours(features, 5, method="certified")
    np.testing.assert_array_equal(indices, nearest_neighbours(features, 5)[1])
