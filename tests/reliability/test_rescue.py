"""The folder of a run cannot be written any more: what training has reached is saved elsewhere and goes on there."""

import errno
import os
import shutil

import pytest

from ppreid.base.errors import WriteError
from ppreid.config.load import load_config
from ppreid.run import keeper
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import BEST, LAST, METRICS
from ppreid.verbs.train import train


@pytest.fixture
def broken_after(monkeypatch, tmp_path):
    """Trains until a function was called for the second time; from then on nothing can be flushed below the run."""

    def train_until(cfg, function, folder="run"):
        real, real_fsync, calls = getattr(keeper, function), os.fsync, []

        def counted(*arguments, **settings):
            calls.append(1)
            return real(*arguments, **settings)

        def fsync(descriptor):
            if len(calls) == 2 and os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(tmp_path / folder) + "/"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            real_fsync(descriptor)

        with monkeypatch.context() as patched:
            patched.setattr(keeper, function, counted)
            patched.setattr(os, "fsync", fsync)
            with pytest.raises(WriteError, match="Read-only file system") as caught:
                train(cfg)
        return str(caught.value)

    return train_until


# {function: steps of the second epoch that are done}; metrics.jsonl comes next, or a checkpoint after one step
PLACES = {"epoch_row": 3, "write_labels": 1}


@pytest.mark.parametrize("place", PLACES)
def test_what_training_reached_goes_on_elsewhere_and_where_it_was(
    tiny_config, tmp_path, broken_after, assert_equals_twin, place
):
    cfg = load_config(tiny_config, ["checkpoint.every_steps=1"])
    run, message = tmp_path / "run", broken_after(cfg, place)
    (rescued,) = (tmp_path / "run-rescued").iterdir()
    assert f"--resume {rescued} -o output_dir=ANOTHER" in message
    assert {file.name for file in rescued.iterdir()} == {LAST, METRICS, BEST}
    progress = read_checkpoint(rescued / LAST).progress
    assert (progress.epoch, progress.steps) == (1, PLACES[place])

    train(load_config(tiny_config, [f"output_dir={tmp_path / 'other'}"]), resume=str(rescued))
    assert_equals_twin(tmp_path / "other")
    shutil.copy(rescued / LAST, run / LAST)
    train(cfg, resume=AUTO)
    assert_equals_twin(run)


def test_without_a_fallback_the_message_says_only_what_failed(tiny_config, tmp_path, broken_after):
    message = broken_after(load_config(tiny_config, ["checkpoint.fallback_dir=''"]), "epoch_row")
    assert "metrics.jsonl cannot be written" in message and "reached" not in message
    assert not (tmp_path / "run-rescued").exists()


def test_a_fallback_that_cannot_be_written_either_is_named_with_its_reason(tiny_config, tmp_path, broken_after):
    (tmp_path / "file").write_text("no folder")
    cfg = load_config(tiny_config, [f"checkpoint.fallback_dir={tmp_path / 'file'}"])
    message = broken_after(cfg, "epoch_row")
    assert "metrics.jsonl cannot be written" in message
    assert "checkpoint.fallback_dir does not help: [Errno 20] Not a directory" in message


def test_what_cannot_be_copied_is_named(tiny_config, tmp_path, broken_after, monkeypatch):
    monkeypatch.setattr("ppreid.run.folder.BEST", ".")  # a folder
    message = broken_after(load_config(tiny_config), "epoch_row")
    assert "(without ., which cannot be read or copied)" in message
