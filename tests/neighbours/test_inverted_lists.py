import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.neighbours.inverted_lists import EVERY_EPOCH, ONCE, default_num_lists, learn_centres, usable_lists


def test_the_number_of_lists_grows_with_the_root_of_the_images_but_not_beyond_them():
    assert [default_num_lists(n) for n in (1, 9, 16, 100, 10_000, 1_000_000)] == [1, 9, 16, 40, 400, 4000]


def test_no_image_is_compared_with_more_lists_than_there_are():
    assert usable_lists(5, 9, num_images=100) == (5, 5)
    assert usable_lists(None, 9, num_images=100) == (40, 9)
    for num_lists, num_probes in ((101, 9), (5, 0), (-1, 9)):
        with pytest.raises(DataError, match=f"num_lists is {num_lists} and num_probes {num_probes}"):
            usable_lists(num_lists, num_probes, num_images=100)


@pytest.mark.parametrize("learning", [EVERY_EPOCH, ONCE])
def test_centres_of_separate_groups_are_their_means(learning):
    radians = np.deg2rad([9, 10, 11, 129, 130, 131, 249, 250, 251])
    features = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    centres = learn_centres(features, 3, learning=learning, rng=np.random.default_rng(0))
    assert centres.dtype == np.float32
    degrees = np.rad2deg(np.arctan2(centres[:, 1], centres[:, 0])) % 360
    np.testing.assert_allclose(np.sort(degrees), [10, 130, 250], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-6)
