"""The mean of a camera, drawn towards that of all images, leaves the features of its images."""

import warnings

import numpy as np
import pytest

from ppreid.base.errors import PpreidWarning
from ppreid.neighbours.camera_centre import CameraCentres


def unit_rows(n, dim, *, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def centred_by_loops(features, camids, others, other_camids, shrinkage):
    """As the definition says it, image by image."""
    everyone = sum(features) / len(features)
    result = []
    for row, camera in zip(others, other_camids, strict=True):
        own = [feature for feature, camid in zip(features, camids, strict=True) if camid == camera and camera >= 0]
        mean = (sum(own) + shrinkage * everyone) / (len(own) + shrinkage) if own else everyone
        result.append((row - mean) / np.linalg.norm(row - mean))
    return np.array(result)


@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")
@pytest.mark.parametrize("shrinkage", [0.5, 3, 100])
def test_the_means_are_those_of_the_definition(shrinkage):
    features, others = unit_rows(30, 8), unit_rows(7, 8, seed=1)
    camids = np.array([0, 1, 3, -1, 0] * 6)
    other_camids = np.array([0, 1, 2, 3, -1, 0, 9])  # cameras 2 and 9 were not there
    found = CameraCentres(features, camids, shrinkage=shrinkage).subtracted_from(others, other_camids)
    expected = centred_by_loops(features.astype(np.float64), camids, others, other_camids, shrinkage)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_what_a_camera_adds_to_all_of_its_images_is_gone():
    people = np.repeat(unit_rows(50, 16), 2, axis=0)  # each person in two cameras
    camids = np.arange(100) % 2
    tint = unit_rows(2, 16, seed=5)
    seen = people + 3 * tint[camids]
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)

    def hits(features):
        similarity = features[::2] @ features[1::2].T  # (50, 50), camera 0 against camera 1
        return (similarity.argmax(axis=1) == np.arange(50)).mean()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PpreidWarning)
        centred = CameraCentres(seen, camids, shrinkage=1).subtracted_from(seen, camids)
    assert hits(centred) > 0.9 > hits(seen)


def test_an_image_that_is_its_mean_becomes_zeros_and_no_nan():
    features = np.ones((4, 3), dtype=np.float32) / np.sqrt(3)
    with pytest.warns(PpreidWarning, match="1 of 1 cameras have fewer than 100 images \\(camera 1: 4\\)"):
        centres = CameraCentres(features, np.zeros(4, dtype=int))
    assert not centres.subtracted_from(features, np.zeros(4, dtype=int)).any()


def test_cameras_with_enough_images_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CameraCentres(unit_rows(40, 4), np.repeat([0, 1], 20), shrinkage=20)
