"""What changes within tracks counts less."""

import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.neighbours.within_tracks import WithinTracks


def unit_rows(count, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def oracle(features, tracks, others, shrinkage):
    """Sums over tracks and their images, one after another, and the cosines that an inverse gives."""
    total, dim = np.zeros((features.shape[1],) * 2), features.shape[1]
    for track in sorted(set(tracks.tolist()) - {-1}):
        own = [features[i].astype(np.float64) for i in range(len(tracks)) if tracks[i] == track]
        mean = sum(own) / len(own)
        total += sum(np.outer(row - mean, row - mean) for row in own) / len(own)
    inverse = np.linalg.inv(total + shrinkage * np.trace(total) / dim * np.eye(dim))
    products = others @ inverse @ others.T
    return products / np.sqrt(np.outer(np.diag(products), np.diag(products)))


@pytest.mark.parametrize("shrinkage", [0.1, 1.0, 30.0])
def test_cosines_are_those_of_plain_loops(shrinkage):
    features, others = unit_rows(40, 6), unit_rows(9, 6, seed=1)
    tracks = np.random.default_rng(2).integers(-1, 9, 40)
    tracks[7] = 500  # of a single image
    found = WithinTracks.learned(features, tracks, shrinkage=shrinkage)(others)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found @ found.T, oracle(features, tracks, others, shrinkage), atol=1e-6)


def test_a_direction_that_changes_within_tracks_no_longer_decides():
    """People differ in the first number, light changes the second: one person in other light is nearer than another."""
    rng = np.random.default_rng(0)
    rows = np.stack([np.repeat([0.3, -0.3], 50), rng.uniform(-1, 1, 100)], axis=1)
    tracks = np.repeat([3, 8], 50)
    one, same, other = np.array([[0.3, 0.5], [0.3, -0.5], [-0.3, 0.5]])
    assert one @ other > one @ same
    mapped = WithinTracks.learned(rows, tracks, shrinkage=0.01)(np.stack([one, same, other]))
    assert mapped[0] @ mapped[1] > mapped[0] @ mapped[2]


def test_much_shrinkage_changes_nothing_and_zeros_stay():
    features = unit_rows(12, 5)
    mapped = WithinTracks.learned(features, np.arange(12) // 3, shrinkage=1e9)(np.vstack([features, np.zeros((1, 5))]))
    np.testing.assert_allclose(mapped[:-1], features, atol=1e-6)
    assert not mapped[-1].any()


@pytest.mark.parametrize("tracks", [[-1, -1, -1, -1], [0, 1, 2, 3], [5, 5, 6, 6]])
def test_without_a_track_of_different_images_nothing_is_known(tracks):
    features = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    with pytest.raises(DataError, match=r"no track has two images that differ.*eval\.within_tracks: off"):
        WithinTracks.learned(features, np.array(tracks))
    with pytest.raises(DataError, match="no track"):
        WithinTracks.learned(features[:0], np.array(tracks[:0], dtype=int))
