import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ppreid.datasets.track_times import seen_at_once


def at_once(*images, min_overlap=0.0, **how):
    tracks, times, camids = (np.array(values) for values in zip(*images, strict=True))
    return seen_at_once(tracks, times.astype(float), camids, min_overlap=min_overlap, **how).tolist()


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


def test_tracks_that_touch_for_a_moment_may_be_one_person():
    """A tracker's last box of somebody who went on under another number was that of a passer-by."""
    begins, ends = [(0, 0, 0), (0, 1, 0)], [(1, 2, 0)]
    for begin, wanted in ((1.0, []), (0.6, []), (0.5, [[0, 1]]), (0.2, [[0, 1]])):
        images = *begins, (1, begin, 0), *ends
        tracks, times, camids = (np.array(values) for values in zip(*images, strict=True))
        assert seen_at_once(tracks, times, camids).tolist() == wanted
    assert at_once(*begins, (1, 1.0, 0), *ends) == [[0, 1]]
    assert at_once((0, 0.1, 0), (0, 0.4, 0), (1, 0.1, 0), (1, 0.4, 0), min_overlap=0.3) == [[0, 1]]


def test_what_is_unknown_tells_nothing():
    assert at_once((-1, 0, 0), (1, 0, 0)) == []
    assert at_once((0, -1, 0), (1, -1, 0)) == []
    assert at_once((0, 1, -1), (1, 1, -1)) == []
    assert seen_at_once(np.empty(0, int), np.empty(0), np.empty(0, int)).shape == (0, 2)


def oracle(images, max_gap, min_overlap=0.0, shared_clock=False):
    """Every stretch of a track, which gaps end, beside every stretch of every other one."""
    spans = []
    for track, camid in {(track, camid) for track, _, camid in images}:
        times = sorted(time for *which, time in ((t, c, time) for t, time, c in images) if which == [track, camid])
        runs = [[times[0]]]
        for time in times[1:]:
            runs[-1].append(time) if time - runs[-1][-1] <= max_gap else runs.append([time])
        spans += [(track, camid, run[0], run[-1]) for run in runs]
    found = set()
    for (a, camera, begin, end), (b, camid, start, stop) in itertools.product(spans, spans):
        if a < b and (shared_clock or camid == camera) and min(end, stop) - max(begin, start) >= min_overlap:
            found.add((a, b))
    return [list(pair) for pair in sorted(found)]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=25),
    st.integers(0, 4),
)
def test_pairs_are_those_of_plain_loops(images, least):
    assert at_once(*images, min_overlap=least) == oracle(images, 2.0, least)
    assert at_once(*images, min_overlap=least, shared_clock=True) == oracle(images, 2.0, least, shared_clock=True)
