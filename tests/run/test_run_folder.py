import contextlib
import csv
import errno
import os

import numpy as np
import pytest

from ppreid.base.errors import ConfigError, WriteError
from ppreid.run.folder import (
    BAD_IMAGES,
    BEST,
    CONFIG,
    LABELS,
    LAST,
    LOG,
    METRICS,
    REPLACED,
    RESULTS,
    disk_errors_explained,
    epoch_checkpoint,
    open_run_folder,
    settle_replaced,
    write_labels,
)


def test_an_earlier_run_is_not_overwritten_unless_asked(tmp_path):
    (tmp_path / LAST).write_text("old")
    epoch_checkpoint(tmp_path, 10).write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds an earlier run .*--resume.*--overwrite"):
        open_run_folder(tmp_path, overwrite=False, resume=False)
    assert (tmp_path / LAST).read_text() == "old"
    open_run_folder(tmp_path, overwrite=True, resume=False)
    assert set(os.listdir(tmp_path)) == {"notes.txt", REPLACED}
    (tmp_path / LAST).write_text("new")
    settle_replaced(tmp_path)
    assert set(os.listdir(tmp_path)) == {"notes.txt", LAST}


OLD = {name: f"old {name}" for name in (CONFIG, METRICS, LAST, BEST, "checkpoint_epoch_000010.safetensors")}


@pytest.mark.parametrize("moves", range(2 * len(OLD) + 1))
def test_a_run_is_replaced_only_by_one_that_has_a_checkpoint_wherever_the_start_is_killed(tmp_path, monkeypatch, moves):
    """Killed after so many renames of the start with --overwrite, or of bringing the old run back."""
    for name, text in OLD.items():
        (tmp_path / name).write_text(text)
    real, done = os.replace, []

    def replace(source, target):
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(source)
        real(source, target)

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(os, "replace", replace)
        open_run_folder(tmp_path, overwrite=True, resume=False)
        (tmp_path / CONFIG).write_text("of a start without data")
        settle_replaced(tmp_path)
    open_run_folder(tmp_path, overwrite=False, resume=True)  # the next start
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == OLD


def test_a_start_that_failed_leaves_nothing_that_blocks_the_next(tmp_path):
    for name in (LOG, CONFIG, BAD_IMAGES, RESULTS):
        (tmp_path / name).write_text("of a start without data, or of an evaluation")
    open_run_folder(tmp_path, overwrite=False, resume=False)
    assert set(os.listdir(tmp_path)) == {LOG, CONFIG, BAD_IMAGES, RESULTS}


def test_resuming_removes_nothing_but_leftovers(tmp_path):
    names = {LAST, "checkpoint_epoch_000010.safetensors", ".notes.txt.abc.tmp", "a.tmp"}
    for name in (*names, f".{LAST}.x1_y2.tmp", f".{LABELS}.abc.tmp", ".checkpoint_epoch_000010.safetensors.abc.tmp"):
        (tmp_path / name).write_text("old")
    open_run_folder(tmp_path, overwrite=False, resume=True)
    assert set(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EFBIG])
def test_disk_errors_say_what_to_do(tmp_path, number):
    text = rf"cannot write into output_dir {tmp_path}: .* --resume"
    with pytest.raises(WriteError, match=text), disk_errors_explained(tmp_path):
        raise OSError(number, os.strerror(number), "labels.csv")
    with pytest.raises(FileNotFoundError), disk_errors_explained(tmp_path):
        (tmp_path / "missing").read_text()
    with pytest.raises(OSError, match=r"Input/output error: '/elsewhere/a\.jpg'$"), disk_errors_explained(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/elsewhere/a.jpg")


def test_labels_are_readable_csv_whatever_the_file_names(tmp_path):
    names = ["a.jpg", "with,comma.jpg", 'with"quote.jpg', "人.jpg"]
    write_labels(tmp_path / "labels.csv", names, np.array([0, -1, 2, 1]))
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "cluster"], *map(list, zip(names, ["0", "-1", "2", "1"], strict=True))]
