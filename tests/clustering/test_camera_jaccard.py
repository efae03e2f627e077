"""Camera-aware Jaccard distance against plain loops."""

import warnings

import numpy as np
import pytest

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.clustering.camera_jaccard import camera_jaccard_distance, camera_jaccard_from_neighbours, lowered
from ppreid.neighbours.search import camera_neighbours


def camera_jaccard_oracle(features, camids, k1_intra, k1_inter, k2_intra, k2_inter):
    """Dense distances, one image after the other, in float64 and with Python sets; each number may be one per image."""
    k1_intra, k1_inter, k2_intra, k2_inter = (
        np.broadcast_to(k, len(features)) for k in (k1_intra, k1_inter, k2_intra, k2_inter)
    )
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
        neighbours = {j for j in intra[i][: k1_intra[i] + 1] if i in intra[j][: k1_intra[j] + 1]}
        neighbours |= {j for j in inter[i][: k1_inter[i] + 1] if i in inter[j][: k1_inter[j] + 1]}
        for j in neighbours:
            weights[i, j] = np.exp(-(2 - 2 * cosine[i, j]))
        weights[i] /= weights[i].sum()
    averaged = np.array([weights[intra[i][: k2_intra[i]] + inter[i][: k2_inter[i]]].mean(axis=0) for i in range(n)])
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


# cameras with few images

MARKET1501 = np.repeat(np.arange(6), [2017, 1709, 2707, 920, 2338, 3245])  # its 12,936 training images
PUBLISHED = {"k1_intra": 5, "k1_inter": 20, "k2_intra": 2, "k2_inter": 4}


def test_published_numbers_stay_on_published_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for camids in (MARKET1501, np.repeat([0, 1, 2], [51, 200, 200])):
            found = lowered(camids, max_share=0.1, **PUBLISHED)
            assert {name: set(widths.tolist()) for name, widths in found.items()} == {
                name: {k} for name, k in PUBLISHED.items()
            }


def test_small_cameras_have_fewer_neighbours_and_say_so(clustered_features, to_dense):
    features, _ = clustered_features(60)
    camids = np.repeat([0, 1, 2], [41, 16, 3])
    # a tenth of the 40, 15 and 2 others of its camera, and of the 19, 44 and 57 of other cameras
    widths = {
        "k1_intra": np.repeat([4, 1, 1], [41, 16, 3]),
        "k1_inter": np.repeat([1, 4, 5], [41, 16, 3]),
        "k2_intra": np.repeat([1, 1, 1], [41, 16, 3]),  # 2 * 4 // 5, at least the image itself
        "k2_inter": np.repeat([1, 1, 1], [41, 16, 3]),
    }
    said = (
        r"^k1_intra 5 becomes 1 to 4 for 60 of 60 images, which have 2 to 40 others to choose from; k1_inter 20 becomes"
        r" 1 to 5 for 60 of 60 images, which have 19 to 57 others to choose from; k2 becomes less in proportion\. "
        r"max_share is 0\.1; 1 lowers nothing$"
    )
    with pytest.warns(PpreidWarning, match=said) as caught:
        distances = camera_jaccard_distance(features, camids, max_share=0.1)
    assert len(caught) == 1
    expected = camera_jaccard_oracle(features, camids, *(widths[name] for name in PUBLISHED))
    np.testing.assert_allclose(to_dense(distances), expected, rtol=0, atol=2e-6)


def test_only_images_of_small_cameras_lose_neighbours():
    camids = np.repeat([0, 1], [300, 11])
    with pytest.warns(
        PpreidWarning, match=r"^k1_intra 5 becomes 3 for 11 of 311 images, which have 10 others .*; k1_i"
    ):
        found = lowered(camids, max_share=0.3, **{**PUBLISHED, "k2_intra": 4, "k2_inter": 8})
    assert set(found["k1_intra"][:300].tolist()) == {5} and set(found["k1_intra"][300:].tolist()) == {3}
    assert set(found["k2_intra"][:300].tolist()) == {4} and set(found["k2_intra"][300:].tolist()) == {2}  # 4 * 3 // 5
    assert set(found["k1_inter"][:300].tolist()) == {3} and set(found["k1_inter"][300:].tolist()) == {20}
    assert set(found["k2_inter"][:300].tolist()) == {1} and set(found["k2_inter"][300:].tolist()) == {8}


def test_the_last_bit_of_a_share_costs_no_neighbour():
    with pytest.warns(PpreidWarning, match="k1_intra 40 becomes 29 for 51"):  # 0.58 * 50 is 28.999999999999996
        lowered(np.repeat([0, 1], [51, 200]), max_share=0.58, **{**PUBLISHED, "k1_intra": 40})


def test_a_share_that_is_none_is_refused(clustered_features):
    features, _ = clustered_features(10)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(DataError, match=r"max_share is .*; expected a share of the images of a camera in \(0, 1\]"):
            camera_jaccard_distance(features, np.arange(10) % 2, max_share=share)
    with pytest.raises(DataError, match="k1_inter is 0; expected a positive integer"):
        camera_jaccard_distance(features, np.arange(10) % 2, k1_intra=1, k1_inter=0, max_share=0.5)
