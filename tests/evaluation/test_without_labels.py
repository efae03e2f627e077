import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppreid.base.errors import EvaluationError
from ppreid.datasets.track_times import seen_at_once
from ppreid.evaluation.track_pairs import Reassociation, TrackPairs, reassociation, track_pairs
from ppreid.evaluation.without_labels import (
    area,
    errors_at,
    evaluate_pairs,
    format_without_labels,
    threshold_at,
    without_labels_to_dict,
)

NOT_AGAIN = Reassociation(0, math.nan, math.nan)


def unit(*angles):
    radians = np.deg2rad(np.array(angles, np.float32))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


# pairs


def test_pairs_of_one_person_are_far_apart_and_those_of_two_were_seen_at_once():
    # track 4 lasts from 0 to 4 s, track 6 is seen during it, track 9 by another camera
    tracks, times = np.array([4, 4, 4, 6, 9]), np.array([0.0, 1, 4, 2, 2])
    pairs = track_pairs(unit(0, 10, 30, 90, 0), tracks, times, np.array([0, 0, 0, 0, 1]), apart=np.array([[4, 6]]))
    cosines = np.cos(np.deg2rad([30, 20, 90, 80, 60]))
    np.testing.assert_allclose(pairs.similarity, cosines, atol=1e-6)
    assert pairs.tracks.tolist() == [[4, 4], [4, 4], [4, 6], [4, 6], [4, 6]]
    assert pairs.same.tolist() == [True, True, False, False, False] and pairs.camids.tolist() == [0] * 5


def oracle_pairs(features, tracks, times, camids):
    """Both tracks and the cosine of every pair, in plain loops over images."""
    rows, found = range(len(tracks)), []
    for i in rows:
        for j in rows:
            own = [times[k] for k in rows if tracks[k] == tracks[i]]
            far = times[j] - times[i] >= (max(own) - min(own)) / 2
            at_once = any(  # an image of one lies between two successive images of the other
                tracks[k] == a and tracks[m] == b and camids[k] == camids[m] and begin <= times[m] <= end
                for a, b in ((tracks[i], tracks[j]), (tracks[j], tracks[i]))
                for k in rows
                for m in rows
                for begin in [times[k]]
                for end in [
                    min([t for t, c in zip(times, tracks, strict=True) if c == a and begin < t <= begin + 2] or [begin])
                ]
            )
            if (tracks[i] == tracks[j] and times[i] < times[j] and far) or (tracks[i] < tracks[j] and at_once):
                found.append((tracks[i], tracks[j], float(features[i] @ features[j])))
    return sorted(found)


@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_those_of_plain_loops(seed):
    rng = np.random.default_rng(seed)
    tracks, times = np.divmod(rng.choice(40, 14, replace=False), 10)
    features, camids = unit(*rng.uniform(0, 90, 14)), tracks % 2
    times = times.astype(float)
    apart = seen_at_once(tracks, times, camids, min_overlap=0.0)
    pairs = track_pairs(features, tracks, times, camids, apart=apart, max_pairs=1000)
    found = sorted(
        (*ends, cosine) for ends, cosine in zip(pairs.tracks.tolist(), pairs.similarity.tolist(), strict=True)
    )
    wanted = oracle_pairs(features, tracks.tolist(), times.tolist(), camids.tolist())
    assert [row[:2] for row in found] == [row[:2] for row in wanted] and len({a == b for a, b, _ in found}) == 2
    np.testing.assert_allclose([row[2] for row in found], [row[2] for row in wanted], atol=1e-6)


def test_of_many_pairs_as_many_are_drawn_and_the_same_for_the_same_seed():
    tracks, times = np.repeat([0, 1], 20), np.tile(np.arange(20.0), 2)
    arguments = unit(*range(40)), tracks, times, np.zeros(40, int)
    drawn = track_pairs(*arguments, max_pairs=7)
    assert drawn.same.sum() == 14 and (~drawn.same).sum() == 7
    assert drawn.similarity.tolist() == track_pairs(*arguments, max_pairs=7).similarity.tolist()
    assert drawn.similarity.tolist() != track_pairs(*arguments, max_pairs=7, seed=1).similarity.tolist()


def test_no_pair_is_drawn_twice():
    tracks, times = np.zeros(9, int), np.arange(9.0)
    drawn = track_pairs(unit(*(2.0 ** np.arange(9) / 4)), tracks, times, tracks, max_pairs=14)  # of 15
    assert len(set(drawn.similarity.tolist())) == 14


def test_what_is_unknown_gives_no_pair():
    one_time = track_pairs(unit(0, 1), np.zeros(2, int), np.array([-1.0, 5]), np.zeros(2, int))
    assert len(one_time.similarity) == 0
    unknown = track_pairs(unit(0, 1, 2), np.array([-1, 0, 0]), np.array([0.0, -1, -1]), np.zeros(3, int))
    assert len(unknown.similarity) == 0
    with pytest.raises(EvaluationError, match="no track has images at two times"):
        evaluate_pairs(unknown, NOT_AGAIN)


# error rates


def test_a_threshold_lets_as_few_pairs_match_as_was_asked_for():
    other = np.array([0.9, 0.5, 0.5, 0.1])
    assert threshold_at(other, 0.0) == np.nextafter(0.9, 1)
    assert threshold_at(other, 0.25) == threshold_at(other, 0.5) == np.nextafter(0.5, 1)  # both or none of the two
    assert threshold_at(other, 0.75) == np.nextafter(0.1, 1)
    assert threshold_at(other, 0.25, np.array([0, 1, 1, 2])) == np.nextafter(0.5, 1)
    found = errors_at(np.array([0.95, 0.5, 0.6]), other, target=0.25)
    assert found[2:] == (0.25, pytest.approx(1 / 3))
    assert errors_at(np.array([np.nextafter(0.9, 1)]), other, target=0.01).missed == 0


SIMILARITIES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=20)


@given(SIMILARITIES, SIMILARITIES, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_error_rates_are_those_of_plain_loops(same, other, target):
    found = errors_at(np.array(same), np.array(other), target=target)
    assert found.false_matches == sum(value >= found.threshold for value in other) / len(other) <= target
    assert found.missed == sum(value < found.threshold for value in same) / len(same)
    for lower in {value for value in other if value < found.threshold}:  # any smaller one lets too many match
        assert sum(value >= lower for value in other) / len(other) > target
    wins = sum((s > o) + (s == o) / 2 for s in same for o in other)
    assert area(np.array(same), np.array(other)) == pytest.approx(wins / len(same) / len(other))


def test_the_interval_is_that_of_a_bootstrap_over_tracks_in_plain_loops():
    rng = np.random.default_rng(3)
    ends = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    similarity = rng.random(len(ends) + 6)
    tracks = np.array([(a, a) for a in range(6)] + ends)
    result = evaluate_pairs(TrackPairs(similarity, tracks, np.zeros(len(tracks), int)), NOT_AGAIN, draws=50, seed=5)
    draws, found = np.random.default_rng(5), []
    for _ in range(50):
        drawn = draws.integers(0, 6, 6).tolist()
        copies = [
            s for s, (a, b) in zip(similarity[6:], ends, strict=True) for i in drawn for j in drawn if (i, j) == (a, b)
        ]
        if copies:
            found.append(threshold_at(np.array(copies), 0.01))
    np.testing.assert_allclose(result.interval, np.quantile(found, [0.025, 0.975]))
    assert result.same == np.nextafter(similarity[6:].max(), 1)


def test_a_pair_between_the_two_thresholds_is_not_sure():
    tracks = np.array([[0, 0], [1, 1], [0, 1], [0, 1]])
    mixed = evaluate_pairs(TrackPairs(np.array([0.2, 0.9, 0.5, 0.1]), tracks, np.zeros(4, int)), NOT_AGAIN)
    assert (mixed.other, mixed.same) == (0.2, np.nextafter(0.5, 1)) and mixed.auc == 0.75
    three = evaluate_pairs(
        TrackPairs(np.array([0.2, 0.3, 0.9, 0.5]), tracks[[0, 0, 1, 2]], np.zeros(4, int)), NOT_AGAIN
    )
    assert three.other == 0.2
    apart = evaluate_pairs(TrackPairs(np.array([0.8, 0.9, 0.5, 0.1]), tracks, np.zeros(4, int)), NOT_AGAIN)
    assert apart.other == apart.same and apart.auc == 1.0
    with pytest.raises(EvaluationError, match="no two tracks were seen at once"):
        evaluate_pairs(TrackPairs(np.array([0.8]), tracks[:1], np.zeros(1, int)), NOT_AGAIN)


# lost and found


def test_a_track_is_found_again_by_its_end_among_the_ends_of_those_seen_with_it():
    tracks = np.repeat([0, 1, 2], 4)
    times = np.tile([0.0, 1, 8, 9], 3)
    apart = np.array([[0, 1], [1, 2]])
    # 0 is nearest to its own end; 1 is nearer to the end of 0 than to its own, but not to that of 2; 2 to that of 1
    features = unit(0, 0, 5, 5, 40, 40, 80, 80, 80, 80, 120, 120)
    found = reassociation(features, tracks, times, np.zeros(12, int), apart=apart)
    assert found == Reassociation(3, pytest.approx(1 / 3), 7.0)
    # the ends of both thirds count: 0 and 3 seconds are the beginning, 6 and 9 the end
    thirds = np.tile([0.0, 3, 4, 6, 9], 2)
    found = reassociation(unit(*[0] * 5, *[90] * 5), np.repeat([0, 1], 5), thirds, np.zeros(10, int), apart=apart[:1])
    assert found == Reassociation(2, 1.0, 3.0)
    alone = reassociation(features, tracks, times, np.zeros(12, int), apart=np.empty((0, 2), int))
    assert alone.tracks == 0 and math.isnan(alone.found)


# what people and programs read


def test_the_result_is_a_table_and_json():
    tracks = np.array([[0, 0], [2, 2], [0, 1], [2, 3]])
    pairs = TrackPairs(np.array([0.9, 0.8, 0.3, 0.5]), tracks, np.array([0, 1, 0, 1]))
    result = evaluate_pairs(pairs, Reassociation(2, 0.5, 3.0))
    table = format_without_labels(result, {0: "door", 1: "hall"})
    assert "4 tracks, 2 pairs of one person, 2 of two people seen at once" in table
    assert "area under the ROC 1.0000" in table and "camera hall: area 1.0000, 1 pairs of two people" in table
    assert "found again after 3.0 s: 50.0 % of 2 tracks" in table
    plain = json.loads(json.dumps(without_labels_to_dict(result._replace(again=NOT_AGAIN)), allow_nan=False))
    assert plain["again"] == {"tracks": 0, "found": None, "gap": None}
    assert plain["cameras"][1] == {"camera": 1, "pairs": 1, "auc": 1.0}
    assert [row["target"] for row in plain["errors"]] == [0.1, 0.01, 0.001]
    one_kind = evaluate_pairs(pairs._replace(camids=np.array([0, 0, 0, 1])), NOT_AGAIN)
    assert [camera for camera, _, _ in one_kind.cameras] == [0]  # the other has no pair of one person


# how far from the truth


def test_numbers_without_labels_are_near_those_with_labels_within_a_camera():
    """30 people with a track in each of two cameras, of which a few are seen at once, and features that are noisy."""
    rng = np.random.default_rng(0)
    people, cameras, images = 30, 2, 8
    pids = np.repeat(np.arange(people), cameras * images)
    camids = np.tile(np.repeat(np.arange(cameras), images), people)
    tracks = np.repeat(np.arange(people * cameras), images)
    times = np.tile(np.arange(float(images)), people * cameras) + (tracks // cameras) * 3.0  # seen with the two before
    features = rng.standard_normal((people, 32))[pids] + 0.8 * rng.standard_normal((len(pids), 32))
    features += 0.8 * rng.standard_normal((cameras, 32))[camids]
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    free = evaluate_pairs(track_pairs(features, tracks, times, camids), NOT_AGAIN)
    similarity = (features @ features.T).astype(np.float64)
    upper = np.triu(np.ones(similarity.shape, bool), 1)
    same, here = pids[:, None] == pids, camids[:, None] == camids
    within, others = similarity[upper & same & here], similarity[upper & ~same & here]
    assert abs(free.auc - area(within, others)) < 0.01
    assert abs(free.same - threshold_at(others, 0.01)) < 0.05
    # between cameras it is harder than without labels can be known
    assert area(similarity[upper & same & ~here], similarity[upper & ~same]) < free.auc
