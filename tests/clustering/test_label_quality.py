"""Statistics, agreement with identities, and what is said of labels where no identity is known."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppreid.base.errors import DataError
from ppreid.clustering.quality import clustering_statistics, label_health, pseudo_label_quality


def test_statistics_by_hand():
    assert clustering_statistics(np.array([1, -1, 0, 1, 1, -1])) == (2, 2, 3)
    assert clustering_statistics(np.array([-1, -1])) == (0, 2, 0)


def test_perfect_and_renamed_labels():
    assert pseudo_label_quality(np.array([1, 1, 0, 0]), np.array([8, 8, 3, 3])) == (1, 1, 0, 0)


def test_mixed_and_split_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2, -1, -1])
    pids = np.array([5, 5, 6, 6, 6, 7, 7, 9])
    quality = pseudo_label_quality(labels, pids)
    assert quality.mixed_clusters == pytest.approx(1 / 3)  # cluster 0 holds 5 and 6
    assert quality.split_identities == pytest.approx(1 / 3)  # of 5, 6, 7 only 6 lies in two clusters; 9 in none
    assert 0 < quality.ari < 1


def test_outliers_are_clusters_of_their_own():
    pids = np.array([0, 0, 1, 1, 2, 3])
    assert pseudo_label_quality(np.array([0, 0, 1, 1, -1, -1]), pids).ari == 1
    as_one = pseudo_label_quality(np.array([0, 0, 1, 1, 2, 2]), pids).ari
    assert as_one < 1


def test_unknown_identities_are_left_out():
    labels, pids = np.array([0, 0, 1, 1, 0]), np.array([4, 4, 5, 5, -1])
    assert pseudo_label_quality(labels, pids) == (1, 1, 0, 0)
    assert all(math.isnan(value) for value in pseudo_label_quality(labels, np.full(5, -1)))
    nothing_clustered = pseudo_label_quality(np.full(5, -1), pids)
    assert math.isnan(nothing_clustered.mixed_clusters) and nothing_clustered.ari == 0
    with pytest.raises(DataError, match="pids have shape"):
        pseudo_label_quality(labels, pids[:3])


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
