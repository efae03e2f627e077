"""Approximate neighbours through lists: which pairs are compared, how many lists it takes, and what comes out."""

import logging

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ppreid.neighbours import approximate, certified, list_search, tiles
from ppreid.neighbours.ranking import Ranking
from ppreid.neighbours.search import camera_neighbours, estimate_recall, nearest_neighbours

CPU = tiles.choose_matmul("cpu")


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(n, dim, seed=0, directions=8, noise=0.02):
    """Tracks of near-duplicates, people seen more and less often, a few images alone, along a few directions."""
    rng = np.random.default_rng(seed)
    track = np.minimum(rng.geometric(0.02, n), n // 6)  # some tracks are longer than others
    centres = rng.standard_normal((n // 6 + 1, directions)) * rng.uniform(0.5, 1.5, (n // 6 + 1, 1))
    latent = centres[track] + 0.2 * rng.standard_normal((n, directions))
    alone = rng.random(n) < 0.05
    latent[alone] = rng.standard_normal((alone.sum(), directions))
    return unit(latent @ rng.standard_normal((directions, dim)) + noise * rng.standard_normal((n, dim)))


@pytest.fixture
def shortened(monkeypatch):
    """Short vectors at sizes at which plain loops are quick; how many directions were tried."""
    for name, value in {"MIN_IMAGES": 40, "MIN_DIM": 16, "SAMPLE": 24, "NUM_DIRECTIONS": (4, 12)}.items():
        monkeypatch.setattr(certified, name, value)
    tried, real = [], certified.short_vectors
    monkeypatch.setattr(certified, "short_vectors", lambda f, d: tried.append(d.shape[1]) or real(f, d))
    return tried


def lists_of(features, centres, num_probes):
    """List of every image, and the lists that it looks into."""
    products = features.astype(np.float64) @ centres.T
    return products.argmax(axis=1), [set(np.argsort(-row)[:num_probes]) for row in products]


@pytest.mark.parametrize("most_probes", [1, 60, 2**24])
@pytest.mark.parametrize("num_probes", [1, 3, 7])
def test_two_images_are_compared_when_one_looks_into_the_list_of_the_other(most_probes, num_probes, monkeypatch):
    features, k = people(70, 12), 40
    centres = people(7, 12, seed=1)
    monkeypatch.setattr(list_search, "learn_centres", lambda *arguments, **options: centres)
    monkeypatch.setattr(list_search, "MOST_PROBES", most_probes)
    monkeypatch.setattr(approximate, "FOLLOWED", 0)
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", 9)
    ranking = Ranking(np.zeros(70, np.int64), k, same_group=True)
    options = {"num_lists": 7, "num_probes": num_probes, "rng": np.random.default_rng(0), "matmul": CPU}
    assert list_search.rank_by_lists(features, [ranking], **options) == num_probes
    own, probes = lists_of(features, centres, num_probes)
    for i in range(70):
        meets = [j for j in range(70) if j != i and (own[j] in probes[i] or own[i] in probes[j])]
        expected = sorted(meets, key=lambda j: -features[i].astype(np.float64) @ features[j])[:k]
        assert ranking.indices[i].tolist() == expected + [-1] * (k - len(expected))


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_as_many_lists_as_a_sample_needs(share, monkeypatch):
    features, centres = people(90, 12), people(20, 12, seed=1)
    monkeypatch.setattr(list_search, "FOUND_BY_LISTS", share)
    sample = np.array([3, 40, 41, 88])
    truth = [np.argsort(-features[sample] @ features.T, axis=1)[:, 1:6], np.full((4, 2), -1)]  # nobody's: not counted
    own = (features @ centres.T).argmax(axis=1)
    needed = list_search._needed_probes(features, sample, truth, centres, own, CPU)

    def found(num_probes):
        _, probes = lists_of(features, centres, num_probes)
        pairs = [(i, j) for i, near in zip(sample, truth[0], strict=True) for j in near]
        return np.mean([own[j] in probes[i] or own[i] in probes[j] for i, j in pairs])

    assert found(needed) >= share and (needed == 1 or found(needed - 1) < share)
    assert list_search._needed_probes(features, sample, truth[1:], centres, own, CPU) == 1


def test_short_vectors_find_nearly_all_and_threads_change_nothing(shortened, caplog):
    features = people(3000, 64, noise=0.1).astype(np.float16)
    results = []
    with caplog.at_level(logging.INFO, logger=list_search.__name__):
        for threads in (1, 2):
            before = numba.get_num_threads()
            numba.set_num_threads(min(threads, before))
            try:
                with threadpool_limits(threads):
                    results.append(nearest_neighbours(features, 20, method="ivf"))
            finally:
                numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    assert shortened == [4, 12, 4, 12] and "13 numbers of 64 for each image" in caplog.text
    similarities, indices = results[0]
    recall = estimate_recall(features, indices, rng=np.random.default_rng(5), num_images=3000)
    assert 0.95 <= recall < 1
    np.testing.assert_array_equal(indices[:, 0], np.arange(3000))
    products = np.einsum("nd,nkd->nk", features.astype(np.float64), features.astype(np.float64)[indices])
    np.testing.assert_array_equal(similarities[:, 1:], products.astype(np.float32)[:, 1:])


def test_duplicates_rank_by_number_behind_the_image_itself(shortened):
    features = np.repeat(people(60, 48), 3, axis=0)[np.random.default_rng(1).permutation(180)]
    _, indices = nearest_neighbours(features, 6, method="ivf", num_lists=9, num_probes=9)
    assert shortened
    for i in range(180):
        twins = [j for j in range(180) if j != i and (features[j] == features[i]).all()]
        assert indices[i, :3].tolist() == [i, *twins]


def test_features_that_vary_along_all_directions_are_compared_as_they_are(shortened, caplog):
    features = unit(np.random.default_rng(2).standard_normal((400, 64)))
    with caplog.at_level(logging.INFO, logger=list_search.__name__):
        _, indices = nearest_neighbours(features, 5, method="ivf", num_lists=8, num_probes=8)
    assert shortened == [4, 12] and "64 numbers of 64 for each image, 8 of 8 lists" in caplog.text
    np.testing.assert_array_equal(indices, nearest_neighbours(features, 5)[1])


def test_cameras_through_short_vectors(shortened):
    features, camids = people(200, 48), np.random.default_rng(3).integers(0, 3, 200)
    camids[:2] = 7  # a camera of two images: places stay empty
    found = camera_neighbours(features, camids, k_intra=5, k_inter=4, method="ivf", num_lists=6, num_probes=6)
    exact = camera_neighbours(features, camids, k_intra=5, k_inter=4, method="certified")
    assert shortened
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_is_looked_for_in_lists_when_an_image_is_its_only_neighbour():
    _, indices = nearest_neighbours(people(50, 12), 1, method="ivf")
    np.testing.assert_array_equal(indices, np.arange(50)[:, None])
