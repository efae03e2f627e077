"""Neighbours of which a share may be of one's own camera, against plain loops."""

import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.base.progress import Stopwatch
from ppreid.clustering.jaccard import jaccard_distance, jaccard_from_neighbours
from ppreid.clustering.quota import neighbours_by_quota, quota_distance
from ppreid.config.load import load_config
from ppreid.neighbours.search import nearest_neighbours
from ppreid.wiring import distance


def quota_oracle(features, camids, k, numerator, denominator):
    """Place after place, with the quota as a fraction and the count in whole numbers."""
    similarity = features.astype(np.float64) @ features.T.astype(np.float64)
    rankings = []
    for i in range(len(features)):
        left = sorted((j for j in range(len(features)) if j != i), key=lambda j: (-similarity[i, j], j))
        ranking, own = [i], 0
        for n in range(1, k):
            may_be_own = (own + 1) * denominator < n * numerator + denominator  # own + 1 <= ceil(n * quota)
            fitting = [j for j in left if camids[j] != camids[i] or may_be_own]
            if not fitting:
                ranking.append(-1)
                continue
            own += camids[fitting[0]] == camids[i]
            left.remove(fitting[0])
            ranking.append(fitting[0])
        rankings.append(ranking)
    return np.array(rankings)


@pytest.mark.parametrize("quota", [(0, 1), (1, 10), (1, 3), (1, 2), (14, 25), (1, 1)])
@pytest.mark.parametrize("cameras", [2, 5])
def test_equals_plain_loops(quota, cameras, clustered_features):
    features, _ = clustered_features(60)
    camids = np.random.default_rng(3).integers(0, cameras, 60)
    found = neighbours_by_quota(features, camids, 27, camera_quota=quota[0] / quota[1])
    np.testing.assert_array_equal(found, quota_oracle(features, camids, 27, *quota))
    assert found.dtype == np.int32


def test_a_quota_of_one_is_the_ordinary_ranking_and_distance(clustered_features):
    features, _ = clustered_features(50)
    camids = np.arange(50) % 3
    found = neighbours_by_quota(features, camids, 12, camera_quota=1.0)
    np.testing.assert_array_equal(found, nearest_neighbours(features, 12)[1])
    distances = quota_distance(features, camids, k1=12, k2=4, camera_quota=1.0)
    assert (distances != jaccard_distance(features, k1=12, k2=4)).nnz == 0


def test_however_many_one_looks_at_the_share_holds(clustered_features):
    features, _ = clustered_features(40)
    camids = np.arange(40) % 2
    found = neighbours_by_quota(features, camids, 20, camera_quota=0.3)
    is_own = camids[found[:, 1:]] == camids[:, None]
    for n in range(1, 20):
        assert is_own[:, :n].sum(axis=1).max() <= -(-3 * n // 10)


def test_a_camera_alone_leaves_places_empty(clustered_features):
    features, _ = clustered_features(12)
    camids = np.zeros(12, int)
    found = neighbours_by_quota(features, camids, 8, camera_quota=0.5)
    np.testing.assert_array_equal(found, quota_oracle(features, camids, 8, 1, 2))
    assert (found >= 0).sum(axis=1).tolist() == [5] * 12  # the image itself, and half of seven rounded up
    assert np.isfinite(quota_distance(features, camids, k1=8, k2=3).data).all()


def test_duplicates_rank_by_number_across_cameras():
    features = np.tile(np.float32([[0.6, 0.8]]), (6, 1))
    found = neighbours_by_quota(features, np.array([0, 1, 0, 1, 0, 1]), 5, camera_quota=1.0)
    assert found[0].tolist() == [0, 1, 2, 3, 4] and found[3].tolist() == [3, 0, 1, 2, 4]


def test_the_distance_is_that_of_these_neighbours(clustered_features):
    features, _ = clustered_features(60)
    camids = np.arange(60) % 4
    labels = load_config("demo.yaml", ["labels.distance=camera_quota", "labels.camera_quota=0.25"]).labels
    watch = Stopwatch()
    found = distance(labels, epoch=1)(features, camids, stopwatch=watch)
    indices = neighbours_by_quota(features, camids, labels.k1, camera_quota=0.25)
    expected = jaccard_from_neighbours(features, indices, k1=labels.k1, k2=labels.k2, max_distance=labels.eps)
    assert (found != expected).nnz == 0 and found.nnz == expected.nnz
    assert list(watch.seconds) == ["neighbours", "jaccard"]


def test_bad_arguments(clustered_features):
    features, _ = clustered_features(10)
    for quota in (-0.1, 1.1, float("nan")):
        with pytest.raises(DataError, match=r"camera_quota is .*; expected a share of the neighbours"):
            quota_distance(features, np.arange(10) % 2, k1=4, k2=2, camera_quota=quota)
    with pytest.raises(DataError, match="have no camera id"):
        quota_distance(features, np.arange(10) - 1, k1=4, k2=2)
    with pytest.raises(DataError, match="k1 is 0; expected a positive integer"):
        quota_distance(features, np.arange(10) % 2, k1=0)
