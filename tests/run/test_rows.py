import numpy as np
import pytest

from ppreid.base.records import ImageRecord
from ppreid.run.progress import Progress, Schedule
from ppreid.run.rows import best_row, epoch_line, epoch_row, history_table, time_left

HISTORY = [
    {"epoch": 0, "mAP": 50.0, "Rank-1": 60.0, "Rank-5": 70.0, "Rank-10": 80.0},
    {"epoch": 2, "mAP": 30.0, "Rank-1": 61.0, "Rank-5": 71.0, "Rank-10": 81.0, "clusters": 9, "outliers": 3},
    {"epoch": 4, "mAP": 40.0, "Rank-1": 62.0, "Rank-5": 72.0, "Rank-10": 82.0, "clusters": 8, "outliers": 2},
    {"epoch": 6, "mAP": 40.0, "Rank-1": 63.0, "Rank-5": 73.0, "Rank-10": 83.0, "clusters": 7, "outliers": 1},
]


def test_the_best_row_is_the_first_of_the_highest_after_training():
    assert best_row(HISTORY)["epoch"] == 4


def test_the_history_table_shows_every_evaluation_then_last_and_best():
    lines = [line.split() for line in history_table(HISTORY).splitlines()]
    assert lines[0] == ["epoch", "mAP", "Rank-1", "Rank-5", "Rank-10", "clusters", "outliers"]
    assert lines[2] == ["before", "50.0", "60.0", "70.0", "80.0", "-", "-"]
    assert lines[-2] == ["last", "(6)", "40.0", "63.0", "73.0", "83.0", "7", "1"]
    assert lines[-1] == ["best", "(4)", "40.0", "62.0", "72.0", "82.0", "8", "2"]


def test_what_was_beside_the_first_evaluation_ends_the_table():
    beside = {"colour: mAP": 19.0, "colour: Rank-1": 44.0, "colour: Rank-5": 55.0, "colour: Rank-10": 66.0}
    first, *rest = HISTORY
    lines = history_table([{**first, **beside}, *rest]).splitlines()
    assert lines[:-1] == history_table(HISTORY).splitlines()
    assert lines[-1].split() == ["colour", "19.0", "44.0", "55.0", "66.0"]


@pytest.mark.parametrize(("pids", "has_quality"), [([1, 1, 2, 2], True), ([1, 1, 2, -1], False)])
def test_label_quality_is_reported_only_when_every_identity_is_known(pids, has_quality):
    labels = np.array([0, 0, 1, -1])
    records = [ImageRecord("", pid, camid) for pid, camid in zip(pids, [0, 1, 0, 1], strict=True)]
    sums, seconds = {"loss": np.float32(3.0)}, {"train": 2.0}
    progress = Progress(2, previous=labels, labels=labels, steps=2, sums=sums, seconds=seconds)
    schedule = Schedule(5, 2, lambda step: step * 2e-4, lambda step: step * 0.02)
    row = epoch_row(progress, schedule, records)
    assert ("label_quality" in row) is has_quality
    assert (row["clusters"], row["outliers"], row["largest"], row["images"]) == (2, 1, 2, 4)
    line = epoch_line(row, schedule, HISTORY[-1])
    assert line.startswith("epoch 3/5 | 2 clusters, 1 outliers of 4, largest 2 | label stability 1.00 camera mixing")
    assert "| loss 1.500 | degree 0.100 lr 1.00e-03 |" in line
    assert "mAP 40.0 Rank-1 63.0 | train 2.0s" in line


@pytest.mark.parametrize(
    ("epoch", "seconds", "every", "expected"),
    [
        (1, {"train": 600.0, "extract": 120.0}, 0, ["about 48 minutes left"]),  # four more of 12 minutes
        (2, {"train": 600.0, "evaluate": 300.0}, 2, ["about 40 minutes left"]),  # three of 10, and 5 after two of them
        (1, {"train": 60.0}, 2, ["about 4 minutes left, evaluations apart"]),
        (4, {"train": 10.0, "evaluate": 5.0}, 1, ["15 s left"]),
        (5, {"train": 10.0}, 1, []),
    ],
)
def test_what_is_left_of_a_run_follows_from_an_epoch(epoch, seconds, every, expected):
    schedule = Schedule(5, 2, float, float, evaluate_epochs=every)
    assert time_left({"epoch": epoch, "stage_seconds": seconds}, schedule) == expected
