import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ppreid.datasets.track_times import seen_at_once


def at_once(*images, **how):
    tracks, times, camids = zip(*images, strict=True)
    return seen_at_once(np.array(tracks), np.array(times, float), np.array(camids), **how).tolist()


def test_tracks_that_overlap_in_one_camera_were_seen_at_once():
    assert at_once((5, 0, 0), (5, 1, 0), (2, 0.5, 0)) == [[2, 5]]
    assert at_once((5, 0, 0), (5, 1, 0), (2, 0.5, 1)) == []
    assert at_once((5, 1, 0), (2, 1, 0)) == [[2, 5]]


def test_with_a_shared_clock_other_cameras_see_other_people():
    images = (5, 0, 0), (5, 1, 0), (2, 0.5, 1), (3, 1.5, 1)
    assert at_once(*images) == []
    assert at_once(*images, shared_clock=True) == [[2, 5]]
    assert at_once((0, 0, -1), (1, 0, 1), shared_clock=True) == []


def test_one_track_behind_another_tells_nothing():
    assert at_once((0, 0, 0), (0, 1, 0), (1, 1.04, 0), (1, 2, 0)) == []


def test_a_track_that_was_lost_for_long_was_not_seen_in_between():
    images = (0, 0, 0), (0, 5, 0), (1, 2, 0)
    assert at_once(*images) == []
    assert at_once(*images, max_gap=5.0) == [[0, 1]]


def test_what_is_unknown_tells_nothing():
    assert at_once((-1, 0, 0), (1, 0, 0)) == []
    assert at_once((0, -1, 0), (1, -1, 0)) == []
    assert at_once((0, 1, -1), (1, 1, -1)) == []
    assert seen_at_once(np.empty(0, int), np.empty(0), np.empty(0, int)).shape == (0, 2)


def oracle(images, max_gap, shared_clock=False):
    """Every image of a track against every two successive images of another."""
    found = set()
    for a in {track for track, _, _ in images}:
        for camera in {camid for track, _, camid in images if track == a}:
            times = sorted(time for track, time, camid in images if (track, camid) == (a, camera))
            stretches = [(t, t) for t in times]
            stretches += [(t, u) for t, u in itertools.pairwise(times) if u - t <= max_gap]
            for b, time, camid in images:
                if (
                    b != a
                    and (shared_clock or camid == camera)
                    and any(begin <= time <= end for begin, end in stretches)
                ):
                    found.add((min(a, b), max(a, b)))
    return [list(pair) for pair in sorted(found)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=25))
def test_pairs_are_those_of_plain_loops(images):
    assert at_once(*images) == oracle(images, 2.0)
    assert at_once(*images, shared_clock=True) == oracle(images, 2.0, shared_clock=True)
