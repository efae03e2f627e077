"""Boxes that other programs wrote, and what boxes have in common."""

import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.recordings.boxes import box_iou, overlaps, read_boxes, without_doubles
from ppreid.recordings.filters import Filters, clipped, covered, sharpness, why_not

RNG = np.random.default_rng(0)


def random_boxes(number):
    return np.concatenate([RNG.uniform(0, 60, (number, 2)), RNG.uniform(5, 50, (number, 2))], axis=1)


def pixels_in_common(a, b):
    """Oracle: count the pixels of a fine grid that are in both."""
    x, y = np.meshgrid(np.arange(0, 120, 0.25) + 0.125, np.arange(0, 120, 0.25) + 0.125)
    inside = [(x >= c[0]) & (x < c[0] + c[2]) & (y >= c[1]) & (y < c[1] + c[3]) for c in (a, b)]
    return (inside[0] & inside[1]).sum() / 16


def test_common_areas_are_those_of_counted_pixels():
    a, b = random_boxes(6), random_boxes(5)
    found, iou = overlaps(a, b), box_iou(a, b)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            common = pixels_in_common(one, other)
            assert found[i, j] == pytest.approx(common, abs=30)  # a quarter of a pixel along the edges
            union = one[2] * one[3] + other[2] * other[3] - found[i, j]
            assert iou[i, j] == pytest.approx(found[i, j] / union)


def test_of_doubles_the_best_stays():
    boxes = np.array([[0, 0, 10, 10, 0.5], [1, 0, 10, 10, 0.9], [30, 0, 10, 10, 0.1], [0, 0, 0, 0, 0.2]])
    kept = without_doubles(boxes, max_iou=0.5)
    assert kept[:, 4].tolist() == [0.9, 0.2, 0.1]
    assert without_doubles(np.zeros((0, 5)), max_iou=0.5).shape == (0, 5)


def test_a_box_that_was_dropped_drops_no_other_and_two_may_lie_on_each_other_as_far_as_was_asked_for():
    chain = np.array([[0, 0, 10, 10, 0.9], [4, 0, 10, 10, 0.8], [8, 0, 10, 10, 0.7]])  # 0.43 of each other, then 0.11
    assert without_doubles(chain, max_iou=0.4)[:, 4].tolist() == [0.9, 0.7]
    half = np.array([[0, 0, 10, 10, 0.9], [0, 0, 10, 5, 0.8]])
    assert len(without_doubles(half, max_iou=0.5)) == 2 and len(without_doubles(half, max_iou=0.49)) == 1


def test_a_tracker_s_text_is_read(tmp_path):
    lines = ["\ufeff1,7,10,20,30.5,60,0.9,-1,-1,-1", "1 8 0 0 5 5", "", "3,-1,1,2,3,4"]
    (tmp_path / "boxes.txt").write_bytes("\r\n".join(lines).encode())
    found = read_boxes(tmp_path / "boxes.txt")
    assert found.frames.keys() == {0, 2} and found.has_ids and not found.skipped
    assert found.frames[0].boxes.tolist() == [[10, 20, 30.5, 60, 0.9], [0, 0, 5, 5, 1]]
    assert found.frames[0].ids.tolist() == [7, 8] and found.frames[2].ids.tolist() == [-1]


def test_lines_that_mean_nobody_are_counted(tmp_path):
    lines = ["1,1,0,0,5,5,0,1,1", "1,2,0,0,5,5,1,3,1", "1,3,0,0,5,5,1,1,1", "1,3,9,9,5,5,1,1,1", "1,4,0,0,0,5,1"]
    lines += ["2,5,0,0,5,5,0.1", "2,6,0,0,5,5,-1,-1"]
    (tmp_path / "boxes.txt").write_text("\n".join(lines))
    found = read_boxes(tmp_path / "boxes.txt", min_score=0.5)
    assert found.skipped == {
        "to be ignored": 1,
        "another class": 1,
        "identity twice in a frame": 1,
        "no area": 1,
        "low score": 1,
    }
    assert {frame: each.ids.tolist() for frame, each in found.frames.items()} == {0: [3], 1: [6]}
    (tmp_path / "boxes.txt").write_text("1,-1,0,0,5,5,0.5\n1,-1,9,9,5,5,0.5")
    found = read_boxes(tmp_path / "boxes.txt", min_score=0.5)
    assert found.frames[0].ids.tolist() == [-1, -1] and not found.skipped and not found.has_ids


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no boxes of people"),
        ("1,1,0,0,5,5\n2,x,0,0,5,5", r"boxes.txt:2: '2,x,0,0,5,5' is no line of numbers"),
        ("1,1,0,0", "should be frame, id"),
        ("0,1,0,0,5,5", "frames are whole numbers from 1 on"),
        ("1.5,1,0,0,5,5", "frames are whole numbers from 1 on"),
        ("1,1,nan,0,5,5", "should be frame, id"),
        ("1,1e300,0,0,5,5", "no number that anything counts to"),
    ],
)
def test_other_text_is_refused_with_its_line(tmp_path, text, words):
    (tmp_path / "boxes.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        read_boxes(tmp_path / "boxes.txt")


def test_who_hides_whom_is_decided_by_the_feet():
    boxes = np.array([[0.0, 0, 10, 100], [5, 10, 10, 100], [50, 0, 10, 10]])
    assert covered(boxes) == pytest.approx([0.45, 0.0, 0.0])  # 5 x 90 of 10 x 100 pixels
    assert covered(np.zeros((0, 5))).shape == (0,)


def test_boxes_are_cut_at_the_edges_of_the_frame():
    boxes = np.array([[-5.4, 2.6, 10, 10], [95, 45, 10, 10], [200, 0, 5, 5]])
    assert clipped(boxes, 100, 50).tolist() == [[0, 3, 5, 10], [95, 45, 5, 5], [100, 0, 0, 5]]


def test_sharpness_falls_with_blur_and_not_with_size():
    sharp = np.kron(RNG.integers(0, 255, (64, 32, 1)), np.ones((2, 2, 3))).astype(np.uint8)
    values = [sharpness(sharp)]
    for _ in range(2):
        mixed = sharp.astype(float)
        for axis in (0, 1):
            mixed = sum(np.roll(mixed, shift, axis) for shift in range(-3, 4)) / 7
        sharp = mixed.astype(np.uint8)
        values.append(sharpness(sharp))
    assert values[0] > 10 * values[2] and values == sorted(values, reverse=True)
    assert sharpness(np.full((10, 5, 3), 7, np.uint8)) == 0


@pytest.mark.parametrize(
    ("box", "hidden", "reason"),
    [
        ((10, 10, 8, 20), 0.5, ""),  # as small and as hidden as is allowed
        ((10, 10, 7, 30), 0.0, "too small"),
        ((10, 10, 30, 19), 0.0, "too small"),
        ((10, 10, 8, 20), 0.51, "hidden by another person"),
        ((-8, 10, 16, 20), 0.0, ""),  # half of it is in the frame
        ((-9, 10, 16, 90), 0.0, "outside the frame"),
        ((60, 10, 8, 20), 0.0, "blurred"),  # where the picture is grey
    ],
)
def test_a_box_becomes_a_crop_or_there_is_a_reason(box, hidden, reason):
    picture = np.full((100, 100, 3), 7, np.uint8)
    picture[:, :50] = RNG.integers(0, 255, (100, 50, 1))
    filters = Filters(min_width=8, min_height=20, min_sharpness=20.0, max_overlap=0.5, min_track=1)
    box = np.array(box, float)
    (inside,) = clipped(box[None], 100, 100)
    assert why_not(box, inside, hidden, picture, filters) == reason
    if reason == "blurred":
        assert why_not(box, inside, hidden, picture, filters._replace(min_sharpness=0.0)) == ""
    assert sharpness(np.tile(np.arange(0, 120, 2, np.uint8)[None, :, None], (60, 1, 3))) < 1  # an even slope is no edge
