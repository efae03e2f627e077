"""The parts of benchmarks/trackers.py that need no tracker, and what it writes for them."""

import importlib.util

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark(checkout):
    spec = importlib.util.spec_from_file_location("trackers_benchmark", checkout / "benchmarks" / "trackers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def overlap_in_plain_loops(a, b):
    """Share of the pixels of two boxes with whole numbers that are in both."""
    inside = [{(x, y) for x in range(left, right) for y in range(top, bottom)} for left, top, right, bottom in (a, b)]
    return len(inside[0] & inside[1]) / len(inside[0] | inside[1])


def test_overlaps_are_counted_pixels(benchmark):
    boxes = np.array([[0, 0, 4, 6], [2, 3, 9, 8], [20, 20, 22, 23]])
    expected = [[overlap_in_plain_loops(a, b) for b in boxes.tolist()] for a in boxes.tolist()]
    np.testing.assert_allclose(benchmark.iou(boxes.astype(float), boxes.astype(float)), expected)
    assert benchmark.iou(boxes.astype(float), np.zeros((0, 4))).shape == (3, 0)


def test_a_detector_misses_some_moves_all_and_sees_no_hidden_person(benchmark):
    boxes = np.tile([[100.0, 50, 140, 150]], (2000, 1))
    visible = np.where(np.arange(2000) < 1000, 1.0, benchmark.HIDDEN - 0.01)
    frame = benchmark.Frame(np.zeros((240, 320, 3), np.uint8), boxes, np.arange(2000), visible)
    found = benchmark.detections(frame, np.random.default_rng(0))
    assert found.shape[1] == 6
    assert len(found) == pytest.approx(1000 * (1 - benchmark.DROPPED), rel=0.03)
    moved = (found[:, :4] - boxes[0]).std(axis=0) / [40, 100, 40, 100]
    np.testing.assert_allclose(moved, benchmark.MOVED, rtol=0.15)
    assert (found[:, 4] == np.float32(0.95)).all()
    none = frame._replace(boxes=boxes[:0], people=np.arange(0), visible=visible[:0])
    assert benchmark.detections(none, np.random.default_rng(0)).shape == (0, 6)
