"""Distances of features that are centred by camera, or of colour in their place."""

import numpy as np
import pytest

from ppreid.base.progress import Stopwatch
from ppreid.clustering.prepared import prepared_distance
from ppreid.neighbours.camera_centre import CameraCentres


@pytest.fixture
def distance():
    """Notes what it is given."""

    def note(features, camids, *, stopwatch):
        with stopwatch.stage("neighbours"):
            return features, camids

    return note


def test_the_distance_is_that_of_centred_features(distance, clustered_features):
    features, _ = clustered_features(30)
    camids, watch = np.arange(30) % 3, Stopwatch()
    with pytest.warns(match="3 of 3 cameras have fewer than 20 images"):
        found, cameras = prepared_distance(features, camids, stopwatch=watch, distance=distance, camera_centre=20)
    with pytest.warns(match="cameras"):
        expected = CameraCentres(features, camids, shrinkage=20).subtracted_from(features, camids)
    np.testing.assert_array_equal(found, expected)
    assert cameras is camids
    assert list(watch.seconds) == ["prepare", "neighbours"]


def test_colour_takes_the_place_of_the_networks_features(distance, clustered_features):
    (features, _), (colour, _) = clustered_features(12), clustered_features(12, dim=5)
    found, _ = prepared_distance(
        features, np.zeros(12, dtype=int), stopwatch=Stopwatch(), distance=distance, instead=lambda: colour
    )
    assert found is colour
