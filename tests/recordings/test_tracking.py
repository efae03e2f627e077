"""Tracks by motion, and by identities that another program gave."""

import numpy as np
import pytest

from ppreid.recordings.tracking import GivenIdentities, MotionTracker, stripe_colours

GREY = np.full((400, 800, 3), 128, np.uint8)  # colours tell nothing


def box(x, y=0.0, width=40.0, height=120.0):
    return [x, y, width, height, 1.0]


def follow(frames, *, max_gap=1.0, step=0.2):
    """Tracks of each frame's boxes."""
    tracker = MotionTracker(max_gap=max_gap)
    return [
        tracker.update(np.array(each, float).reshape(-1, 5), n * step, GREY).tolist() for n, each in enumerate(frames)
    ]


def test_somebody_who_walks_is_one_track_and_a_second_person_another():
    frames = [[box(10 + 12 * n), box(300 - 10 * n, y=200)] for n in range(12)]
    assert follow(frames) == [[0, 1]] * 12


def test_the_order_of_boxes_does_not_matter():
    frames = [[box(10 + 12 * n), box(300 - 10 * n, y=200)][:: 1 - 2 * (n % 2)] for n in range(12)]
    assert follow(frames) == [[0, 1], [1, 0]] * 6


def test_a_person_out_of_sight_is_expected_where_the_way_leads():
    """After four frames without a box the person is 60 pixels, more than a width, farther."""
    frames = [[box(10 + 12 * n)] if n < 8 or n > 11 else [] for n in range(14)]
    assert follow(frames)[-1] == [0]
    assert follow(frames, max_gap=0.5)[-1] == [1]


def test_times_count_and_not_frames():
    walk = [[box(10 + 12 * n)] for n in range(10)]
    even = MotionTracker(max_gap=1.0)
    for n, each in enumerate(walk):
        even.update(np.array(each), n * 0.2, GREY)
    # six steps of 0.2 seconds at once
    assert even.update(np.array([box(10 + 12 * 15)]), 15 * 0.2 - 0.2, GREY).tolist() == [0]


def expected_places(centres, times, *, height, at):
    """Oracle: a Kalman filter of place and speed in plain numbers, for one side of the boxes of one person."""
    place, speed, a, b, c = (
        centres[0],
        0.0,
        (0.06 * height) ** 2,
        0.0,
        (0.6 * height) ** 2,
    )  # covariance [[a, b], [b, c]]
    for before, now, seen in zip(times, [*times[1:], at], [*centres[1:], None], strict=True):
        t, noise = now - before, (0.8 * height) ** 2
        place += t * speed
        a, b, c = a + 2 * t * b + t**2 * c + noise * t**4 / 4, b + t * c + noise * t**3 / 2, c + noise * t**2
        if seen is not None:
            of_place, of_speed = a / (a + (0.06 * height) ** 2), b / (a + (0.06 * height) ** 2)
            place, speed = place + of_place * (seen - place), speed + of_speed * (seen - place)
            a, b, c = a - of_place * a, b - of_speed * a, c - of_speed * b
    return place


@pytest.mark.parametrize("ways", [[0, 12, 24, 36], [0, 4, 16, 40], [0, 20, 30, 33, 33, 40]])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_person_is_expected_where_a_kalman_filter_in_plain_numbers_says(ways, direction):
    """From the expected place on, a box fits as long as its intersection over union is 0.3: 0.538 of its width."""
    times = [0.2 * n + 0.05 * (n % 2) for n in range(len(ways))]
    at = times[-1] + 0.6
    place = expected_places([300 + direction * way for way in ways], times, height=120.0, at=at)
    for off, is_same in ((0.53, True), (0.547, False)):
        for side in (1, -1):
            tracker = MotionTracker(max_gap=1.0)
            for way, time in zip(ways, times, strict=True):
                assert tracker.update(np.array([box(300 + direction * way)]), time, GREY).tolist() == [0]
            found = tracker.update(np.array([box(place + side * off * 40)]), at, GREY).tolist()
            assert found == [0 if is_same else 1], (off, side)


def test_a_rival_that_fits_half_as_well_makes_it_unclear_and_one_that_fits_worse_does_not():
    for beside, wanted in ((14, [2]), (20, [0])):  # intersections over unions of 0.51 and 0.36, where the best has 0.95
        tracker = MotionTracker(max_gap=1.0)
        assert tracker.update(np.array([box(0), box(beside)]), 0.0, GREY).tolist() == [0, 1]
        assert tracker.update(np.array([box(1)]), 0.01, GREY).tolist() == wanted


def test_colours_of_a_track_follow_slowly():
    tracker = MotionTracker(max_gap=1.0)
    for n, (grey, key) in enumerate([(100, 0), (140, 0), (92, 0), (60, 1)]):  # the track has 100, 112, 106
        assert tracker.update(np.array([box(0)]), 0.2 * n, np.full_like(GREY, grey)).tolist() == [key]


def test_somebody_may_be_away_for_as_long_as_was_asked_for():
    given, moving, boxes, nobody = (
        GivenIdentities(max_gap=1.0),
        MotionTracker(max_gap=1.0),
        np.array([box(0)]),
        np.zeros((0, 5)),
    )
    given.update(boxes, np.array([7]), 0.0)
    moving.update(boxes, 0.0, GREY)
    for time in (0.5, 1.0):
        given.update(nobody, np.zeros(0, int), time)
        moving.update(nobody, time, GREY)
        assert given.living == moving.living == {0}
    given.update(nobody, np.zeros(0, int), 1.25)
    moving.update(nobody, 1.25, GREY)
    assert given.living == moving.living == set()


def test_where_it_is_not_clear_who_is_who_both_tracks_end():
    apart = [[box(10 + 12 * n), box(130 - 12 * n)] for n in range(5)]
    tracker = MotionTracker(max_gap=1.0)
    for n, each in enumerate(apart):
        assert tracker.update(np.array(each), n * 0.2, GREY).tolist() == [0, 1]
    assert tracker.update(np.array([box(70)]), 1.0, GREY).tolist() == [2]  # one box for two people
    assert tracker.living == {2}


def test_a_box_of_other_colours_is_another_person():
    picture = GREY.copy()
    tracker = MotionTracker(max_gap=1.0)
    assert tracker.update(np.array([box(10)]), 0.0, picture).tolist() == [0]
    picture[:] = 230, 20, 20
    assert tracker.update(np.array([box(12)]), 0.2, picture).tolist() == [1]


def test_of_two_boxes_the_one_with_the_right_colours_is_taken():
    """A red person stands before a blue one; the blue box fits a little better to where the red one is expected."""
    red, blue = np.full((400, 800, 3), 90, np.uint8), np.full((400, 800, 3), 90, np.uint8)
    red[:, :60], blue[:, 60:] = (120, 90, 90), (90, 90, 120)
    tracker = MotionTracker(max_gap=1.0)
    tracker.update(np.array([box(20)]), 0.0, red)
    both = np.where(np.arange(800)[None, :, None] < 36, blue[:, 60:61], red[:, :1]).astype(np.uint8)
    keys = tracker.update(np.array([box(14), box(27)]), 0.2, both)
    assert keys.tolist() == [1, 0]


def test_stripes_have_the_mean_colours_of_the_middle_of_a_box():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (200, 100, 3)).astype(np.uint8)
    found = stripe_colours(picture, np.array([[20.0, 50, 40, 100], [-30, 150, 60, 100]]))
    for row, (left, top, bottom) in enumerate([(32, 62, 80), (0, 162, 180)]):
        expected = np.zeros(3)
        right = 48 if row == 0 else 12
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                expected += picture[y, x] / ((bottom + 1 - top) * (right + 1 - left))
        assert np.allclose(found[row, :3], expected)
    assert stripe_colours(picture, np.zeros((0, 5))).shape == (0, 12)


def test_no_boxes_and_no_tracks_are_no_problem():
    assert follow([[], [], [box(1)], []]) == [[], [], [0], []]


def test_a_far_box_begins_a_track():
    assert follow([[box(0)], [box(200)]]) == [[0], [1]]


def identities(frames, *, max_gap=1.0, step=0.2):
    tracker = GivenIdentities(max_gap=max_gap)
    found = [
        tracker.update(np.array([b for _, b in each]).reshape(-1, 5), np.array([i for i, _ in each]), n * step).tolist()
        for n, each in enumerate(frames)
    ]
    return found, tracker


def test_given_identities_are_the_tracks():
    found, tracker = identities([[(7, box(0)), (3, box(99))], [(3, box(101)), (7, box(4)), (-1, box(200))]])
    assert found == [[0, 1], [1, 0, -1]] and tracker.jumps == 0 and tracker.living == {0, 1}


def test_an_identity_that_jumps_begins_a_new_track():
    found, tracker = identities([[(7, box(0))], [(7, box(20))], [(7, box(600))], [(7, box(610))]])
    assert found == [[0], [0], [1], [1]] and tracker.jumps == 1


@pytest.mark.parametrize(
    ("before", "after", "step", "jumps"),
    [
        (box(0), box(4.1 * 120), 0.8, 0),  # a height at once, and four for each second
        (box(0), box(4.3 * 120), 0.8, 1),
        (box(0), box(300, height=240.0, y=-60), 0.2, 0),  # heights of the larger of both boxes
        (box(0, height=240.0, y=-60), box(300), 0.2, 0),
        (box(0), box(300), 0.2, 1),
    ],
)
def test_an_identity_jumps_where_nobody_is_so_fast(before, after, step, jumps):
    assert identities([[(7, before)], [(7, after)]], step=step)[1].jumps == jumps


def test_an_identity_that_was_away_for_long_begins_a_new_track():
    found, tracker = identities([[(7, box(0))], *([[]] * 6), [(7, box(0))]])
    assert found[-1] == [1] and tracker.jumps == 0


@pytest.mark.parametrize("seed", range(3))
def test_tracks_of_people_who_walk_freely_hold_one_person_each(seed):
    """Property: whatever is missed and however people cross, a track has boxes of one person nearly always."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, 600, 8), rng.uniform(-60, 60, 8)
    tracker, owners = MotionTracker(max_gap=1.0), {}
    for n in range(100):
        there = np.flatnonzero(rng.random(8) < 0.7)
        boxes = np.array([box(start[p] + speed[p] * n * 0.2 + rng.normal(0, 2), y=15 * p) for p in there]).reshape(
            -1, 5
        )
        for key, person in zip(tracker.update(boxes, n * 0.2, GREY), there, strict=True):
            owners.setdefault(int(key), []).append(int(person))
    right = sum(max(map(each.count, set(each))) for each in owners.values())
    assert right / sum(map(len, owners.values())) > 0.97
