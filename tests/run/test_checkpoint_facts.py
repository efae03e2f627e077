"""Checkpoints with a right checksum whose facts are anything: one short error each, never a traceback."""

import json

import numpy as np
import pytest

from ppreid.base.errors import WeightsError
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.run.checkpoint import read_checkpoint

GOOD = {
    "format": 1,
    "epoch": 1,
    "config": {"seed": 1},
    "history": [{"event": "evaluation", "epoch": 0, "mAP": 7.1, "Rank-1": 3.0}],
    "images": {"count": 4, "sha256": "0" * 64},
    "running": {"steps": 2, "seconds": {"train": 1.5}, "skipped": 0},
    "guard": {"skipped": 0, "overflows": 0},
}
ARRAYS = {
    "labels": np.array([0, 0, 1, -1]),
    "running.labels": np.array([0, 1, 1, -1]),
    "running.centroids": np.eye(2, 3, dtype=np.float32),
    "running.sum.loss": np.float32([2.5]),
}
ODD = [None, True, -1, 0.5, 2**53, 10**30, "1", "", [], [1], {}, {"a": 1}, [[]], float("1e308"), "x" * 5000]
PLACES = ["format", "epoch", "config", "history", "images", "running", "guard"]
PLACES += ["history.0.epoch", "history.0.mAP", "history.0.event", "images.count", "running.steps", "running.seconds"]
PLACES += ["running.skipped", "running.seconds.train", "guard.skipped", "guard.overflows", "guard.loss_scale"]
# what is right in a place, although it is odd
FINE = {
    "config": [{}, {"a": 1}],
    "history": [[]],
    "running": [None],
    "guard": [{}],
    "guard.loss_scale": [None, 0.5, 2**53],
    "history.0.event": ["1", "", "x" * 5000],
    "history.0.mAP": [0.5],
    "running.seconds": [{}, {"a": 1}],
    "running.seconds.train": [-1, 0.5, 2**53, 1e308, 10**30],
}


def changed(place, value):
    """GOOD with another value at a dotted place."""
    facts = json.loads(json.dumps(GOOD))
    *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    target = facts
    for part in way:
        target = target[part]
    target[last] = value
    return facts


def is_fine(place, value):
    return any(type(value) is type(fine) and value == fine for fine in FINE.get(place, []))


@pytest.mark.parametrize("place", PLACES)
def test_facts_of_wrong_kinds_are_one_error(place, tmp_path):
    tried = 0
    for value in [odd for odd in ODD if not is_fine(place, odd)]:
        save_tensors(tmp_path / "c", ARRAYS, changed(place, value))
        with pytest.raises(WeightsError) as caught:
            read_checkpoint(tmp_path / "c")
        assert str(tmp_path / "c") in str(caught.value) and len(str(caught.value)) < 1000
        tried += 1
    assert tried > 8


@pytest.mark.parametrize("place", FINE)
def test_facts_that_are_odd_but_right_are_read(place, tmp_path):
    for value in FINE[place]:
        save_tensors(tmp_path / "c", ARRAYS, changed(place, value))
        assert read_checkpoint(tmp_path / "c").path == tmp_path / "c"


@pytest.mark.parametrize("name", [*GOOD, "unknown"])
def test_facts_that_are_missing_or_unknown_are_named(name, tmp_path):
    facts = {key: value for key, value in GOOD.items() if key != name} | ({"unknown": 1} if name == "unknown" else {})
    save_tensors(tmp_path / "c", ARRAYS, facts)
    if name in ("running", "guard"):
        assert read_checkpoint(tmp_path / "c").progress.epoch == 1
    else:
        with pytest.raises(WeightsError, match=name):
            read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("labels", np.zeros((2, 2), np.int64)),
        ("labels", np.zeros(4, np.float32)),
        ("running.labels", np.array([0, 1, 2, -1])),
        ("running.labels", np.array([0, 1, 1, -2])),
        ("running.labels", np.array([0, 1, 1, 2**62])),
        ("running.labels", np.zeros(4, np.int32)),
        ("running.centroids", np.eye(3, dtype=np.float32)),
        ("running.centroids", np.zeros((0, 3), np.float32)),
        ("running.centroids", np.ones(2, np.float32)),
        ("running.centroids", np.eye(2, 3)),
        ("running.sum.loss", np.ones(3, np.float32)),
        ("running.sum.loss", np.ones(1, np.int64)),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_one_error(name, array, tmp_path):
    save_tensors(tmp_path / "c", {**ARRAYS, name: array}, GOOD)
    with pytest.raises(WeightsError, match="cannot be resumed"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("name", ["running.labels", "running.centroids"])
def test_an_epoch_under_way_needs_its_arrays(name, tmp_path):
    save_tensors(tmp_path / "c", {key: value for key, value in ARRAYS.items() if key != name}, GOOD)
    with pytest.raises(WeightsError, match="its running epoch is incomplete"):
        read_checkpoint(tmp_path / "c")


def test_facts_that_are_nested_too_deeply_are_one_error(tmp_path):
    deep: dict = {}
    inner = deep
    for _ in range(400):
        inner["a"] = {}
        inner = inner["a"]
    save_tensors(tmp_path / "c", ARRAYS, {**GOOD, "config": deep})
    assert load_tensors(tmp_path / "c").facts["config"]
    assert read_checkpoint(tmp_path / "c").config == deep
