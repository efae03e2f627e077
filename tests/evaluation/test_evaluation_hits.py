import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.evaluation.inputs import Identities
from ppreid.evaluation.scores import MAX_COUNTED_HITS, find_hits, hits_and_junk


def hits_oracle(distances, hits, junk):
    """Sort everything, then walk down the list."""
    ranking = sorted((distance, item) for item, distance in enumerate(distances) if item not in set(junk))
    items = [item for _, item in ranking]
    ordered = sorted(hits, key=items.index)
    ranks = [items.index(item) for item in ordered]
    within = [sum(distance <= distances[item] for distance, _ in ranking) for item in ordered]
    hits_within = [sum(distances[other] <= distances[item] for other in hits) for item in ordered]
    return ranks, within, hits_within


@given(data=st.data(), size=st.integers(1, 40), levels=st.sampled_from([1, 3, 1000]))
@settings(max_examples=60, deadline=None)
def test_hits_equal_a_full_sort(data, size, levels):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    distances = (rng.integers(0, levels, size) / levels).astype(np.float32)
    parts = rng.permutation(size)
    num_hits = data.draw(st.integers(1, size))
    num_junk = data.draw(st.integers(0, size - num_hits))
    hits, junk = np.sort(parts[:num_hits]), parts[num_hits : num_hits + num_junk]
    found = find_hits(distances, hits, junk)
    assert [field.tolist() for field in found] == [list(field) for field in hits_oracle(distances, hits, junk)]


@pytest.mark.parametrize("levels", [7, 10_000])
def test_many_hits_are_sorted_instead_of_counted(levels):
    rng = np.random.default_rng(0)
    distances = (rng.integers(0, levels, 300) / levels).astype(np.float32)
    hits, junk = np.arange(0, 300, 3), np.arange(1, 300, 3)
    assert hits.size > MAX_COUNTED_HITS
    found = find_hits(distances, hits, junk)
    assert [field.tolist() for field in found] == [list(field) for field in hits_oracle(distances, hits, junk)]


def test_small_ranking_by_hand():
    #                      junk hit  -    hit  -
    distances = np.array([0.1, 0.5, 0.2, 0.2, 0.9], np.float32)
    found = find_hits(distances, np.array([1, 3]), np.array([0]))
    assert found.ranks.tolist() == [1, 2]  # item 2 is as close as item 3, and earlier
    assert found.within.tolist() == [2, 3]
    assert found.hits_within.tolist() == [1, 2]


def test_infinite_distances_come_last():
    distances = np.array([np.inf, 1.0, -np.inf, np.inf], np.float32)
    assert find_hits(distances, np.array([1, 3]), np.array([], int)).ranks.tolist() == [1, 3]


def split(pid, camid, ignore_camera=False):
    gallery_pids, gallery_camids = np.array([5, 7, -1, 5, 0, 5, -1]), np.array([0, 0, 0, 1, 2, 0, 1])
    ids = Identities(np.array([pid]), gallery_pids, np.array([camid]), gallery_camids)
    [(hits, junk)] = hits_and_junk(ids, ignore_camera=ignore_camera)
    return hits.tolist(), sorted(junk.tolist())


def test_hits_and_junk():
    assert split(5, 0) == ([3], [0, 2, 5, 6])  # 0 and 5 share the camera, 2 and 6 are unknown
    assert split(5, 0, ignore_camera=True) == ([0, 3, 5], [2, 6])
    assert split(7, 0) == ([], [1, 2, 6])
    assert split(9, 0) == ([], [2, 6])
    assert split(-1, 0) == ([], [2, 6])  # unknown finds nothing, not the other unknown ones
