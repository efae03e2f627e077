"""Camera-aware Jaccard distance against plain loops."""

import numpy as np
import pytest

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.clustering.camera_jaccard import camera_jaccard_distance, camera_jaccard_from_neighbours
from ppreid.neighbours.search import camera_neighbours


def camera_jaccard_oracle(features, camids, k1_intra, k1_inter, k2_intra, k2_inter):
    """Dense distances, one image after the other, in float64 and with Python sets."""
    features = features.astype(np.float64)
    n = len(features)
    cosine = features @ features.T
    intra, inter = [], []
    for i in range(n):
        order = [i] + [j for j in np.argsort(-cosine[i], kind="stable") if j != i]
        intra.append([j for j in order if camids[j] == camids[i]])
        inter.append([j for j in order if camids[j] != camids[i]])
    weights = np.zeros((n, n))
    for i in range(n):
        neighbours = {j for j in intra[i][: k1_intra + 1] if i in intra[j][: k1_intra + 1]}
        neighbours |= {j for j in inter[i][: k1_inter + 1] if i in inter[j][: k1_inter + 1]}
        for j in neighbours:
            weights[i, j] = np.exp(-(2 - 2 * cosine[i, j]))
        weights[i] /= weights[i].sum()
    averaged = np.array([weights[intra[i][:k2_intra] + inter[i][:k2_inter]].mean(axis=0) for i in range(n)])
    shared = np.minimum(averaged[:, None], averaged[None]).sum(axis=2)
    return np.maximum(0, 1 - shared / (2 - shared))


@pytest.mark.parametrize("settings", [(5, 20, 2, 4), (5, 20, 3, 3), (2, 4, 1, 1), (1, 3, 4, 6)])
@pytest.mark.parametrize("num_cameras", [2, 5])
def test_equals_plain_loops(settings, num_cameras, clustered_features, to_dense):
    features, _ = clustered_features(60)
    camids = np.random.default_rng(3).integers(0, num_cameras, 60)
    names = ("k1_intra", "k1_inter", "k2_intra", "k2_inter")
    distances = camera_jaccard_distance(features, camids, **dict(zip(names, settings, strict=True)))
    expected = camera_jaccard_oracle(features, camids, *settings)
    np.testing.assert_allclose(to_dense(distances), expected, rtol=0, atol=2e-6)
    assert (distances != distances.T).nnz == 0


def test_cameras_with_few_images(clustered_features, to_dense):
    features, _ = clustered_features(30)
    camids = np.zeros(30, np.int64)
    camids[[3, 9, 10]] = [1, 1, 2]
    distances = camera_jaccard_distance(features, camids)
    np.testing.assert_allclose(
        to_dense(distances), camera_jaccard_oracle(features, camids, 5, 20, 2, 4), rtol=0, atol=2e-6
    )


def test_one_camera_is_warned_about(clustered_features, to_dense):
    features, _ = clustered_features(30)
    camids = np.full(30, 4)
    with pytest.warns(PpreidWarning, match="all images come from one camera"):
        distances = camera_jaccard_distance(features, camids)
    np.testing.assert_allclose(
        to_dense(distances), camera_jaccard_oracle(features, camids, 5, 20, 2, 4), rtol=0, atol=2e-6
    )


def test_max_distance_and_separate_search(clustered_features):
    features, _ = clustered_features(40)
    camids = np.arange(40) % 3
    intra, inter = camera_neighbours(features, camids, k_intra=6, k_inter=21)
    near = camera_jaccard_from_neighbours(features, intra, inter, max_distance=0.5)
    every = camera_jaccard_distance(features, camids).tocoo()
    kept = every.data <= np.float32(0.5)
    np.testing.assert_array_equal(near.tocoo().data, every.data[kept])
    np.testing.assert_array_equal(near.indices, every.col[kept])


def test_bad_arguments(clustered_features):
    features, _ = clustered_features(10)
    camids = np.arange(10) % 2
    with pytest.raises(DataError, match="k1_inter is 0"):
        camera_jaccard_distance(features, camids, k1_intra=2, k1_inter=0, k2_inter=2)
    with pytest.raises(DataError, match="have no camera id"):
        camera_jaccard_distance(features, camids - 1, k1_intra=2, k1_inter=3)
    intra, inter = camera_neighbours(features, camids, k_intra=6, k_inter=3)
    with pytest.raises(DataError, match=r"other-camera ranking has shape \(10, 3\)"):
        camera_jaccard_from_neighbours(features, intra, inter)
    with pytest.raises(DataError, match="6 neighbours per image are given, 8 needed"):
        camera_jaccard_from_neighbours(features, intra, inter, k1_intra=7, k1_inter=2, k2_inter=2)
    with pytest.warns(PpreidWarning, match="k1_inter is 20 but there are only 10 images"):
        camera_jaccard_distance(features, camids)
