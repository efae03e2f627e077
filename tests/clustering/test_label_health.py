import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppreid.base.errors import DataError
from ppreid.clustering.health import label_health


def entropy(values):
    counts = Counter(values).values()
    return -sum(count / len(values) * math.log(count / len(values)) for count in counts)


def mixing_in_plain_loops(labels, camids):
    """Entropy of the cameras within each cluster, weighted by its size, over their entropy in all clustered images."""
    images = [(label, camid) for label, camid in zip(labels, camids, strict=True) if label >= 0 and camid >= 0]
    within = 0.0
    for cluster in {label for label, _ in images}:
        cameras = [camid for label, camid in images if label == cluster]
        within += len(cameras) / len(images) * entropy(cameras)
    return within / entropy([camid for _, camid in images])


def test_chosen_clusters():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert label_health(labels, None, np.array([0, 0, 0, 0, 1, 1, 1, 1]))[1:] == (0.0, 0.0)
    assert label_health(labels, None, np.array([0, 1, 0, 1, 0, 1, 0, 1]))[1:] == pytest.approx((1.0, 1.0))
    half = label_health(labels, None, np.array([0, 0, 1, 1, 0, 0, 0, 0]))
    assert half.cross_camera_clusters == 0.5


def test_stability_looks_at_images_that_are_clustered_both_times():
    before, now = np.array([0, 0, 1, 1, -1, 2]), np.array([3, 3, 0, 0, 1, -1])
    assert label_health(now, before, np.full(6, -1)).label_stability == 1.0
    assert label_health(np.array([0, 1, 0, 1, 0, 0]), before, np.full(6, -1)).label_stability < 0


@pytest.mark.parametrize("previous", [None, np.array([-1, 0, -1])])
def test_what_cannot_be_said_is_nan(previous):
    health = label_health(np.array([0, -1, 0]), previous, np.array([2, 2, 2]))
    assert all(math.isnan(value) for value in health)


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 4)), min_size=1, max_size=40))
def test_mixing_is_the_conditional_entropy_and_lies_between_0_and_1(rows):
    labels, camids = np.array(rows).T
    found = label_health(labels, labels, camids).camera_mixing
    if len({camid for label, camid in rows if label >= 0 and camid >= 0}) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(mixing_in_plain_loops(labels, camids), abs=1e-9)
        assert 0 <= found <= 1 + 1e-9


def test_labels_of_other_images_are_refused():
    with pytest.raises(DataError, match="previous labels have shape"):
        label_health(np.zeros(3, int), np.zeros(4, int), np.zeros(3, int))
