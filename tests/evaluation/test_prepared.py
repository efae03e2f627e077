"""Features of query and gallery as they are compared."""

import numpy as np
import pytest

from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.evaluation.inputs import Preparation, colour_rankings, prepared_features
from ppreid.neighbours.camera_centre import CameraCentres

pytestmark = pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")


def unit_rows(n, dim, *, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def split():
    """Three queries and nine gallery images of three people by three cameras; camera 2 has no query."""
    query = tuple(ImageRecord(f"q{pid}", pid, pid % 2) for pid in range(3))
    gallery = tuple(ImageRecord(f"g{row}", row % 3, row // 3) for row in range(9))
    return ReIDSplit((), query, gallery)


def not_asked():
    raise AssertionError("nobody asked for colour")


def test_without_a_wish_the_features_are_the_very_same(split):
    features = unit_rows(12, 4)
    assert prepared_features(features, split=split, how=Preparation(), colour=not_asked) is features


def test_the_means_are_those_of_the_gallery_and_hold_for_the_queries(split):
    features = unit_rows(12, 4)
    found = prepared_features(features, split=split, how=Preparation(camera_centre=2), colour=not_asked)
    gallery_camids = np.arange(9) // 3
    centres = CameraCentres(features[3:], gallery_camids, shrinkage=2)
    np.testing.assert_array_equal(found[3:], centres.subtracted_from(features[3:], gallery_camids))
    np.testing.assert_array_equal(found[:3], centres.subtracted_from(features[:3], np.array([0, 1, 0])))


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_the_cosine_is_the_weighted_mean_of_the_two(split, weight, shrinkage):
    features, colour = unit_rows(12, 4), unit_rows(12, 6, seed=1)
    found = prepared_features(features, split=split, how=Preparation(shrinkage, weight), colour=lambda: colour)
    centred = [
        prepared_features(each, split=split, how=Preparation(shrinkage), colour=not_asked)
        for each in (features, colour)
    ]
    expected = (1 - weight) * centred[0] @ centred[0].T + weight * centred[1] @ centred[1].T
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-6)


def test_colour_alone_is_ranked_plain_and_centred(split):
    colour, seen = unit_rows(12, 6), {}

    def rank(query, gallery, *identities):
        seen[len(seen)] = (query, gallery, identities)
        return len(seen)

    assert colour_rankings(split, lambda: colour, rank=rank) == {"colour": 1, "colour, centred": 2}
    np.testing.assert_array_equal(np.concatenate(seen[0][:2]), colour)
    expected = prepared_features(colour, split=split, how=Preparation(100), colour=not_asked)
    np.testing.assert_array_equal(np.concatenate(seen[1][:2]), expected)
    for _, _, (query_pids, gallery_pids, query_camids, gallery_camids) in seen.values():
        assert (query_pids.tolist(), query_camids.tolist()) == ([0, 1, 2], [0, 1, 0])
        assert (gallery_pids.tolist(), gallery_camids.tolist()) == ([0, 1, 2] * 3, [0] * 3 + [1] * 3 + [2] * 3)
