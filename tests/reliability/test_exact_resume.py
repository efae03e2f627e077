"""A run that is stopped anywhere and resumed ends like one that is not."""

import logging
import os
import shutil
import signal
import threading
from importlib import import_module

import numpy as np
import pytest
from faults import VARIABLE

from ppreid import tables
from ppreid.base.errors import ConfigError, DataError, Interrupted, PpreidWarning, WeightsError
from ppreid.base.progress import Stopwatch
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import BEST, CONFIG, LAST, LOG, METRICS, PREVIOUS
from ppreid.run.lock import run_lock
from ppreid.run.metrics import read_metrics
from ppreid.run.resume import EFFECTS, changed_keys, effect
from ppreid.verbs.train import train

STEPS = 6  # of the tiny run: two epochs of three


@pytest.fixture
def stop_at(monkeypatch):
    """Makes the next run stop itself with a signal after a step, counted from 1."""

    def stop(cfg, step, name="SIGTERM", **settings):
        monkeypatch.setenv(VARIABLE, f"step={step}:{name}")
        with pytest.raises(Interrupted, match=f"stopped by {name}"):
            train(cfg, **settings)
        monkeypatch.delenv(VARIABLE)

    return stop


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_run_stopped_after_any_step_goes_on_bit_for_bit(
    tiny_config, tmp_path, stop_at, assert_equals_twin, step, num_workers
):
    cfg = load_config(tiny_config, [f"data.num_workers={num_workers}"])
    stop_at(cfg, step)
    progress = read_checkpoint(tmp_path / "run" / LAST).progress
    assert (progress.epoch, progress.steps) == ((step - 1) // 3, (step - 1) % 3 + 1)
    train(cfg, resume=AUTO)
    assert_equals_twin(tmp_path / "run")


VIT = [
    "model.backbone=vit_small_ics",
    "model.base_width=2",
    "model.drop_path=0.5",
    "model.bn_chunks=4",
    "solver.optimizer=sgd",
    "data.mean=[0.5, 0.5, 0.5]",
]


STYLES = ["augment.style_mix=0.7", "model.neck_centre=on", "model.bn_chunks=2", "batch.accumulate=2"]


@pytest.mark.parametrize(("options", "step"), [(VIT, 1), (VIT, 5), (STYLES, 5)])
def test_a_network_that_draws_goes_on_bit_for_bit(tiny_config, tmp_path, stop_at, options, step):
    twin = load_config(tiny_config, [*options, f"output_dir={tmp_path / 'twin'}"])
    train(twin)
    in_parts = load_config(tiny_config, options)
    stop_at(in_parts, step)
    train(in_parts, resume=AUTO)
    found, expected = (load_tensors(tmp_path / name / LAST).tensors for name in ("run", "twin"))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert array.tobytes() == found[name].tobytes(), name


def test_parts_of_a_batch_go_without_the_same_branches(tiny_config, tmp_path):
    for parts in (1, 2):
        folder = tmp_path / f"in_{parts}"
        train(load_config(tiny_config, [*VIT, "solver.epochs=1", f"batch.accumulate={parts}", f"output_dir={folder}"]))
    whole, in_parts = (load_tensors(tmp_path / f"in_{parts}" / LAST).tensors for parts in (1, 2))
    for name, array in whole.items():
        np.testing.assert_allclose(in_parts[name], array, rtol=1e-3, atol=1e-3, err_msg=name)


def test_another_optimizer_is_refused(tiny_config, tmp_path):
    train(load_config(tiny_config, ["solver.epochs=1"]))
    with pytest.raises(ConfigError, match=r"solver\.optimizer: 'adam' then, 'sgd' now"):
        train(load_config(tiny_config, ["solver.optimizer=sgd"]), resume=AUTO)


def test_a_run_stopped_after_every_step_goes_on_bit_for_bit(tiny_config, tmp_path, stop_at, assert_equals_twin):
    cfg = load_config(tiny_config, ["checkpoint.every_steps=2"])
    stop_at(cfg, 1, "SIGINT")
    for step in range(2, STEPS + 1):
        stop_at(cfg, step, "SIGINT", resume=AUTO)
    train(cfg, resume=AUTO)
    assert_equals_twin(tmp_path / "run")


PLACES = {
    "read_split": "ppreid.verbs.inputs",
    "evaluate_model": "ppreid.training.extract",
    "assign_pseudo_labels": "ppreid.training.loop",
    "write_labels": "ppreid.run.keeper",
    "epoch_row": "ppreid.run.keeper",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_run_stopped_between_two_trainings_goes_on_bit_for_bit(
    tiny_config, tmp_path, monkeypatch, assert_equals_twin, place
):
    """Each place once; at the second visit where there are several."""
    cfg = load_config(tiny_config)
    module, name = import_module(PLACES[place]), place
    real, visits = getattr(module, name), []

    def interrupted(*args, **kwargs):
        visits.append(1)
        if len(visits) == (1 if place == "read_split" else 2):
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.setattr(module, name, real)
    train(cfg, resume=AUTO)
    assert_equals_twin(tmp_path / "run")


def test_a_signal_while_a_checkpoint_is_written_waits_for_it(tiny_config, tmp_path, monkeypatch, assert_equals_twin):
    real = os.fsync

    def fsync(descriptor):
        if (tmp_path / "run" / LAST).exists() and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    cfg = load_config(tiny_config)
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.setattr(os, "fsync", real)
    train(cfg, resume=AUTO)
    assert_equals_twin(tmp_path / "run")


def test_handlers_are_given_back_and_other_threads_have_none(tiny_config):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    cfg = load_config(tiny_config, ["solver.epochs=1", "solver.iters=1"])
    thread = threading.Thread(target=train, args=(cfg,))
    thread.start()
    thread.join()
    assert len(train(cfg, overwrite=True)) == 2
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_auto_starts_a_run_that_has_no_checkpoint_yet(tiny_config, tmp_path, assert_equals_twin, caplog):
    run = tmp_path / "run"
    run.mkdir()
    (run / METRICS).write_text('{"event": "evaluation", "epoch": 0, "seconds": 1}\n{"event": "ep')
    with caplog.at_level(logging.INFO, "ppreid"):
        train(load_config(tiny_config), resume=AUTO)
    assert "no checkpoint in" in caplog.text and "starts from the beginning" in caplog.text
    assert_equals_twin(run)


def test_auto_does_not_start_over_where_another_checkpoint_is(tiny_config, twin, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(twin / BEST, tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"{LAST} is gone, but {BEST} is there"):
        train(load_config(tiny_config), resume=AUTO)


def test_another_folder_goes_on_where_a_run_stopped(tiny_config, tmp_path, stop_at, assert_equals_twin):
    stop_at(load_config(tiny_config), 5)
    before = (tmp_path / "run" / LAST).read_bytes()
    cfg = load_config(tiny_config, [f"output_dir={tmp_path / 'other'}"])
    train(cfg, resume=str(tmp_path / "run"))
    assert_equals_twin(tmp_path / "other")
    assert (tmp_path / "run" / LAST).read_bytes() == before
    with pytest.raises(ConfigError, match="holds an earlier run"):
        train(cfg, resume=str(tmp_path / "run"))


def test_a_file_goes_on_from_there(tiny_config, tmp_path, assert_equals_twin):
    cfg = load_config(tiny_config, ["checkpoint.every=1", "checkpoint.keep=0"])
    train(cfg)
    train(cfg, resume=str(tmp_path / "run" / "checkpoint_epoch_000001.safetensors"))
    assert_equals_twin(tmp_path / "run")


@pytest.mark.parametrize(
    ("resume", "error", "text"),
    [("empty", ConfigError, "nothing to resume"), ("nothing", WeightsError, "does not exist")],
)
def test_what_cannot_be_resumed_is_said(tiny_config, tmp_path, resume, error, text):
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=text):
        train(load_config(tiny_config), resume=str(tmp_path / resume))


def test_checkpoints_are_kept_by_the_policy(tiny_config, tmp_path):
    overrides = ["solver.epochs=5", "solver.iters=1", "checkpoint.every=1", "checkpoint.keep=2"]
    train(load_config(tiny_config, overrides))
    names = {file.name for file in (tmp_path / "run").glob("*.safetensors")}
    assert names == {LAST, PREVIOUS, BEST, "checkpoint_epoch_000004.safetensors", "checkpoint_epoch_000005.safetensors"}
    states = [read_checkpoint(tmp_path / "run" / name).progress for name in (LAST, PREVIOUS)]
    assert [(state.epoch, state.has_labels, state.steps) for state in states] == [(5, False, 0), (4, True, 1)]


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: {"empty": 0, "1 byte": 1, "8 bytes": 8, "half": len(content) // 2}.get(how)])


@pytest.mark.parametrize("how", ["empty", "1 byte", "8 bytes", "half", "flipped"])
def test_a_damaged_last_checkpoint_is_replaced_by_the_previous_one(
    tiny_config, tmp_path, stop_at, assert_equals_twin, caplog, how
):
    caplog.set_level(logging.INFO, "ppreid")  # what goes to the log file
    cfg = load_config(tiny_config, ["checkpoint.every_steps=1"])
    stop_at(cfg, 5)
    run = tmp_path / "run"
    damage(run / LAST, how)
    with pytest.warns(PpreidWarning, match=rf"{run / LAST} .*; going on from {run / PREVIOUS} instead"):
        stop_at(cfg, 5, resume=AUTO)  # the previous one was of step 4
    assert read_checkpoint(run / LAST).progress.steps == 2
    assert read_checkpoint(run / PREVIOUS).progress.steps == 1  # not the damaged one
    assert f"resumed from {run / PREVIOUS} after epoch 1 and 1 of 3 steps" in (run / LOG).read_text()
    train(cfg, resume=AUTO)
    assert_equals_twin(run)


def test_an_older_file_in_the_place_of_the_last_one_goes_on_from_there(
    tiny_config, tmp_path, stop_at, assert_equals_twin
):
    """As if a copy of the folder had mixed the files of two moments."""
    cfg = load_config(tiny_config, ["checkpoint.every_steps=1"])
    stop_at(cfg, 5)
    run = tmp_path / "run"
    older, newer = (run / PREVIOUS).read_bytes(), (run / LAST).read_bytes()
    (run / LAST).write_bytes(older)
    (run / PREVIOUS).write_bytes(newer)
    train(cfg, resume=AUTO)
    assert_equals_twin(run)


@pytest.mark.parametrize("stage", ["extract", "neighbours", "jaccard", "cluster", "train", "evaluate"])
def test_a_run_stopped_at_the_start_of_any_stage_goes_on_bit_for_bit(
    tiny_config, tmp_path, monkeypatch, assert_equals_twin, stage
):
    real, visits = Stopwatch.stage, []

    def signalled(self, name):
        visits.extend([name] if name == stage else [])
        if len(visits) == 2 and name == stage:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, name)

    cfg = load_config(tiny_config)
    with monkeypatch.context() as patched:
        patched.setattr(Stopwatch, "stage", signalled)
        with pytest.raises(Interrupted, match="stopped by SIGTERM"):
            train(cfg)
    train(cfg, resume=AUTO)
    assert_equals_twin(tmp_path / "run")


def test_two_damaged_checkpoints_are_an_error_that_names_both(tiny_config, tmp_path, stop_at):
    cfg = load_config(tiny_config)
    stop_at(cfg, 5)
    for name in (LAST, PREVIOUS):
        damage(tmp_path / "run" / name, "half")
    with pytest.raises(WeightsError, match=rf"no checkpoint to resume from: .*{LAST} .*{PREVIOUS} .*--overwrite"):
        train(cfg, resume=AUTO)


def test_every_flipped_bit_is_found(twin, tmp_path):
    path = tmp_path / LAST
    content = (twin / LAST).read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for offset in [*range(0, header, header // 150), *range(header, len(content), len(content) // 25)]:
        for bit in (offset % 8, 5):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(WeightsError):
                read_checkpoint(path)


def test_changed_keys_that_matter_are_refused_with_a_list(tiny_config, tmp_path, stop_at):
    stop_at(load_config(tiny_config), 2)
    config = (tmp_path / "run" / CONFIG).read_text()
    changes = ["seed=2", "batch.images=2", "model.pooling=max", "solver.lr=1e-4"]
    with pytest.raises(ConfigError) as caught:
        train(load_config(tiny_config, changes), resume=AUTO)
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        "  - seed: 1 then, 2 now",
        "  - model.pooling: 'avg' then, 'max' now",
        "  - batch.images: 4 then, 2 now",
    ]
    assert (tmp_path / "run" / CONFIG).read_text() == config


def test_other_changed_keys_are_shown_and_the_run_goes_on(tiny_config, tmp_path, stop_at, caplog):
    stop_at(load_config(tiny_config), 2)
    with pytest.warns(PpreidWarning, match=r"differently from here, because of labels\.eps, solver\.epochs;"):
        changes = ["labels.eps=0.5", "solver.epochs=3", "log.every=1"]
        with caplog.at_level(logging.INFO, "ppreid"):
            history = train(load_config(tiny_config, changes), resume=AUTO)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert "  labels.eps     0.6 -> 0.5\n" in caplog.text and "  log.every      2 -> 1" in caplog.text


def test_changes_without_effect_leave_the_run_as_it_was(tiny_config, tmp_path, stop_at, assert_equals_twin):
    stop_at(load_config(tiny_config), 2)
    train(load_config(tiny_config, ["data.num_workers=1", "checkpoint.every=2", "log.every=1"]), resume=AUTO)
    assert_equals_twin(tmp_path / "run")


def test_every_effect_belongs_to_a_key(tiny_config):
    config = load_config(tiny_config).model_dump()
    keys = {key for key, _, _ in changed_keys(config, {})} | {
        f"{section}.{key}" for section, values in config.items() if isinstance(values, dict) for key in values
    }
    assert set(EFFECTS) <= keys
    assert [effect(key) for key in ("seed", "task", "data.height", "solver.iters", "labels.camera.k1_intra")] == [
        *["refused"] * 4,
        "from here on",
    ]


def test_other_training_images_are_refused(tiny_config, tiny_root, tmp_path, stop_at):
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    cfg = load_config(tiny_config, [f"data.root={root}"])
    stop_at(cfg, 2)
    folder = root / "demo" / "bounding_box_train"
    shutil.copy(next(folder.iterdir()), folder / "0007_c1s1_000009_00.jpg")
    with pytest.raises(DataError, match="48 then, 49 now"):
        train(cfg, resume=AUTO)


def test_a_moved_data_set_is_the_same(tiny_config, tiny_root, tmp_path, stop_at):
    stop_at(load_config(tiny_config), 5)
    shutil.copytree(tiny_root, tmp_path / "data")
    train(load_config(tiny_config, [f"data.root={tmp_path / 'data'}"]), resume=AUTO)


def test_a_second_run_is_refused_whatever_it_asks_for(tiny_config, tmp_path):
    cfg = load_config(tiny_config)
    with run_lock(tmp_path / "run"):
        for settings in ({}, {"overwrite": True}, {"resume": AUTO}):
            with pytest.raises(ConfigError, match="in use by process"):
                train(cfg, **settings)


def test_losses_that_are_not_finite_do_not_become_a_checkpoint(tiny_config, tmp_path, monkeypatch):
    row = tables.OBJECTIVES["ise"]
    real = tables.resolve(row.function)

    def broken(features, labels, centroids, degree, **settings):
        terms = real(features, labels, centroids, degree, **settings)
        return terms._replace(total=terms.total * float("nan")) if degree > 0.1 else terms

    monkeypatch.setitem(tables.OBJECTIVES, "ise", row._replace(function=broken))
    with pytest.raises(Exception, match="became NaN"):
        train(load_config(tiny_config, ["checkpoint.every_steps=1"]))
    sums = [value for name, value in load_tensors(tmp_path / "run" / LAST).tensors.items() if "running.sum" in name]
    assert sums and all(value == value for value in sums)
    assert read_metrics(tmp_path / "run" / METRICS)[-1]["epoch"] == 0
