import numpy as np
import pytest

from ppreid.base.progress import Stopwatch
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels
from ppreid.training.pseudo_labels import assign_pseudo_labels


@pytest.fixture
def blobs():
    """Unit features of 5 groups of 8 images, and two cameras in turn."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.standard_normal((5, 16)), 8, axis=0) + 0.2 * rng.standard_normal((40, 16))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32), np.arange(40) % 2


def test_the_stages_together_find_the_groups(blobs):
    features, camids = blobs
    watch = Stopwatch()
    labels, centroids = assign_pseudo_labels(
        features,
        camids,
        distance=lambda features, camids, *, stopwatch: jaccard_distance(
            features, k1=8, k2=3, max_distance=0.5, stopwatch=stopwatch
        ),
        clusterer=lambda distances: dbscan_labels(distances, eps=0.5, min_samples=4),
        stopwatch=watch,
    )
    np.testing.assert_array_equal(labels, np.repeat(np.arange(5), 8))
    means = features.reshape(5, 8, 16).mean(axis=1)
    np.testing.assert_allclose(centroids, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    assert list(watch.seconds) == ["neighbours", "jaccard", "cluster"]


def test_the_distance_is_given_the_cameras_of_the_images(blobs):
    features, camids = blobs
    seen = []

    def distance(features, camids, *, stopwatch):
        seen.append(camids.tolist())
        return jaccard_distance(features, k1=8, k2=3, max_distance=0.5, stopwatch=stopwatch)

    clusterer = lambda distances: dbscan_labels(distances, eps=0.5, min_samples=4)  # noqa: E731
    assign_pseudo_labels(features, camids, distance=distance, clusterer=clusterer, stopwatch=Stopwatch())
    assert seen == [camids.tolist()] and len(set(seen[0])) == 2
