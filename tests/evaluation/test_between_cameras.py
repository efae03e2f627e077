import json
import math

import numpy as np
import pytest

from ppreid.datasets.track_times import seen_at_once
from ppreid.evaluation.between_cameras import CameraPair, CamerasAtOnce, at_once_between_cameras, between_cameras
from ppreid.evaluation.track_pairs import Reassociation, TrackPairs
from ppreid.evaluation.without_labels import evaluate_pairs, format_without_labels, without_labels_to_dict


def some_images(seed, *, people=5, images=60, cameras=3):
    """Features, tracks, cameras and identities; a track has one person and camera, some images no track or person."""
    rng = np.random.default_rng(seed)
    tracks = rng.integers(0, 14, images)
    pids, camids = rng.integers(0, people + 1, 14)[tracks], rng.integers(0, cameras, 14)[tracks]
    features = rng.standard_normal((people + 1, 6))[pids] + 0.7 * rng.standard_normal((images, 6))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    return features, np.where(rng.random(images) < 0.1, -1, tracks), camids, pids


def oracle(features, tracks, camids, pids, threshold):
    """Everything in loops over images and tracks."""
    rows = [row for row in range(len(pids)) if pids[row] > 0 and camids[row] >= 0]
    found = {}
    for a in sorted({camids[row] for row in rows}):
        for b in sorted({camids[row] for row in rows if camids[row] > a}):
            pairs = [(i, j) for i in rows for j in rows if (camids[i], camids[j]) == (a, b)]
            cosine = {(i, j): float(features[i].astype(float) @ features[j].astype(float)) for i, j in pairs}
            same = [cosine[i, j] for i, j in pairs if pids[i] == pids[j]]
            other = [cosine[i, j] for i, j in pairs if pids[i] != pids[j]]
            if not same or not other:
                continue
            auc = np.mean([(one > two) + (one == two) / 2 for one in same for two in other])
            false, missed = (
                sum(x >= threshold for x in other) / len(other),
                sum(x < threshold for x in same) / len(same),
            )
            means = {}
            for track in {tracks[row] for row in rows if tracks[row] >= 0}:
                own = [row for row in rows if tracks[row] == track]
                mean = sum(features[row].astype(float) for row in own)
                means[track] = (camids[own[0]], pids[own[0]], mean / math.sqrt(mean @ mean))
            hits = []
            for camera, pid, mean in means.values():
                there = [(mean @ m, p) for c, p, m in means.values() if {c, camera} == {a, b}]
                if pid in [p for _, p in there]:
                    hits.append(max(there)[1] == pid)
            found[a, b] = (len(same), auc, false, missed, len(hits), np.mean(hits) if hits else math.nan)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_rates_between_cameras_are_those_of_plain_loops(seed):
    images = some_images(seed)
    found = between_cameras(*images, threshold=0.4)
    wanted = oracle(*images, 0.4)
    assert [row.cameras for row in found] == list(wanted) and len(found) == 3
    for row in found:
        np.testing.assert_allclose(row[1:], wanted[row.cameras], rtol=1e-12)


def test_a_pair_as_similar_as_the_threshold_matches():
    features = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    (row,) = between_cameras(features, np.arange(4), np.array([0, 0, 1, 1]), np.array([1, 2, 1, 2]), threshold=0.0)
    assert (row.false_matches, row.missed, row.auc) == (1.0, 0.0, 1.0)
    (row,) = between_cameras(features, np.arange(4), np.array([0, 0, 1, 1]), np.array([1, 2, 1, 2]), threshold=1.0)
    assert (row.false_matches, row.missed) == (0.0, 0.0)


def test_of_many_images_as_many_are_drawn_and_tracks_are_looked_for_with_all():
    images = some_images(1, images=400)
    few, again, whole = (between_cameras(*images, threshold=0.4, max_images=most) for most in (30, 30, 1000))
    assert few == again
    for one, other in zip(few, whole, strict=True):
        assert one.pairs < other.pairs and (one.tracks, one.found) == (other.tracks, other.found)
        assert abs(one.auc - other.auc) < 0.1


def test_without_labels_or_a_second_camera_there_is_nothing_to_say():
    features, tracks, camids, pids = some_images(2)
    for unknown in (np.zeros_like(pids), np.full_like(pids, -1)):
        assert between_cameras(features, tracks, camids, unknown, threshold=0.4) == ()
    assert between_cameras(features, tracks, np.zeros_like(camids), pids, threshold=0.4) == ()
    assert between_cameras(features, tracks, np.full_like(camids, -1), pids, threshold=0.4) == ()
    one_person = between_cameras(features, tracks, camids, np.ones_like(pids), threshold=0.4)
    assert one_person == ()  # nobody could be taken for somebody else
    (no_track, *_) = between_cameras(features, np.full_like(tracks, -1), camids, pids, threshold=0.4)
    assert no_track.tracks == 0 and math.isnan(no_track.found) and no_track.pairs > 0


def test_people_whom_two_cameras_saw_at_once_are_no_match():
    """Loops over the images of both tracks, less those of one camera."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((24, 3)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    tracks, times = np.repeat([4, 1, 7, 2, 9, -1], 4), np.tile(np.arange(4.0), 6)
    camids = np.repeat([0, 0, 3, 3, 5, 5], 4)
    apart = seen_at_once(tracks, times, camids, shared_clock=True)
    assert len(apart) == 10
    found = at_once_between_cameras(features, tracks, times, camids, apart=apart, threshold=0.3)
    wanted = []
    for one, other in ((0, 3), (0, 5), (3, 5)):
        rows = [np.flatnonzero((camids == camid) & (tracks >= 0)) for camid in (one, other)]
        matches = [features[i] @ features[j] >= 0.3 for i in rows[0] for j in rows[1]]
        wanted.append(CamerasAtOnce((one, other), len(matches), float(np.mean(matches))))
    assert found == tuple(wanted) and 0 < wanted[0].false_matches < 1
    of_one_camera = seen_at_once(tracks, times, camids)
    assert at_once_between_cameras(features, tracks, times, camids, apart=of_one_camera, threshold=0.3) == ()


def test_the_table_says_what_is_known_between_cameras_and_that_otherwise_nothing_is():
    pairs = TrackPairs(np.array([0.9, 0.3]), np.array([[0, 0], [0, 1]]), np.zeros(2, int))
    result = evaluate_pairs(pairs, Reassociation(0, math.nan, math.nan))
    assert "between" not in format_without_labels(result)  # of one camera
    unknown = format_without_labels(result._replace(num_cameras=3)).splitlines()[-1]
    assert unknown.startswith("between the 3 cameras nothing is known: all pairs of one person are of one camera")
    rows = (CameraPair((0, 2), 40, 0.75, 0.002, 0.625, 8, 0.5), CameraPair((1, 2), 4, 0.5, 0.0, 1.0, 0, math.nan))
    known = result._replace(num_cameras=3, between=rows)
    lines = format_without_labels(known, {0: "door", 2: "hall"}).splitlines()
    assert lines[-2:] == [
        "cameras door and hall, by labels: area 0.7500, from 0.300 on 0.2 % false matches and 62.5 % missed, "
        "50.0 % of 8 tracks found in the other",
        "cameras 2 and hall, by labels: area 0.5000, from 0.300 on 0.0 % false matches and 100.0 % missed",
    ]
    clocked = result._replace(num_cameras=2, at_once=(CamerasAtOnce((0, 1), 1200, 0.025),))
    *_, rates, unknown = format_without_labels(clocked, {1: "hall"}).splitlines()
    assert rates == "cameras 1 and hall, seen at once: from 0.300 on 2.5 % false matches of 1,200 pairs of two people"
    assert unknown.startswith("between the 2 cameras it is not known what is missed: all pairs of one person")
    assert without_labels_to_dict(clocked)["at_once"] == [{"cameras": (0, 1), "pairs": 1200, "false_matches": 0.025}]
    plain = json.loads(json.dumps(without_labels_to_dict(known), allow_nan=False))
    assert plain["between"][1]["found"] is None and plain["between"][0]["cameras"] == [0, 2]
