"""Numbers that are not finite, and clusterings that are none: the run stops or goes on as asked, and can be resumed."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
from faults import VARIABLE

from ppreid.base.errors import ConfigError, Interrupted, PpreidWarning, TrainingError
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import BEST, LAST, METRICS
from ppreid.run.metrics import read_metrics
from ppreid.training import optimizer
from ppreid.verbs.train import train

FAULTS = ["features=5:nan", "loss=5:inf", "gradient=5:nan"]  # the second step of the second epoch


def all_finite(path):
    return all(np.isfinite(array).all() for array in load_tensors(path).tensors.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_the_run_stops_names_the_batch_and_goes_on_from_before(
    tiny_config, tmp_path, monkeypatch, assert_equals_twin, fault
):
    run = tmp_path / "run"
    monkeypatch.setenv(VARIABLE, fault)
    what = fault.partition("=")[0]
    with pytest.raises(TrainingError, match=rf"{what}.* became NaN .* at step 4, .*step_000004\.json"):
        train(load_config(tiny_config, ["checkpoint.every_steps=1"]))
    report = json.loads((run / "nonfinite_step_000004.json").read_text())
    progress = read_checkpoint(run / LAST).progress
    assert (report["step"], len(report["images"]), progress.epoch, progress.steps) == (4, 16, 1, 1)
    paths = [line.split(",") for line in (run / "labels.csv").read_text().splitlines()[1:]]
    for image in report["images"]:
        assert paths[image["row"]] == [image["path"], str(image["cluster"])] and image["cluster"] >= 0
    assert all_finite(run / LAST) and all_finite(run / BEST)
    monkeypatch.delenv(VARIABLE)
    train(load_config(tiny_config), resume=AUTO)
    assert_equals_twin(run)


def test_steps_are_left_out_up_to_the_limit_of_a_run_also_over_a_resume(tiny_config, tmp_path, monkeypatch):
    cfg = load_config(tiny_config, ["solver.on_nonfinite=skip", "solver.max_nonfinite=2"])
    monkeypatch.setenv(VARIABLE, "loss=2:nan,step=3:SIGTERM")
    with pytest.warns(PpreidWarning, match="loss, gradient became NaN .* 1 of at most 2"), pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.setenv(VARIABLE, "gradient=5:inf")
    with pytest.warns(PpreidWarning, match="gradient became NaN .* 2 of at most 2"):
        history = train(cfg, resume=AUTO)
    assert np.isfinite(history[-1]["mAP"])
    rows = [row for row in read_metrics(tmp_path / "run" / METRICS) if row["event"] == "epoch"]
    assert [row["skipped_steps"] for row in rows] == [1, 1]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert all_finite(tmp_path / "run" / LAST)
    monkeypatch.setenv(VARIABLE, "features=7:nan")
    more = load_config(tiny_config, ["solver.on_nonfinite=skip", "solver.max_nonfinite=2", "solver.epochs=3"])
    with (
        pytest.warns(PpreidWarning, match="goes on differently"),
        pytest.raises(TrainingError, match=r"at step 6, .* 2 steps of this run were left out before"),
    ):
        train(more, resume=AUTO)


def test_the_permission_to_leave_steps_out_changes_nothing(tiny_config, tmp_path, assert_equals_twin):
    train(load_config(tiny_config, ["solver.on_nonfinite=skip", "log.every=1"]))
    run = tmp_path / "run"
    assert read_checkpoint(run / LAST).progress.guard == {"skipped": 0, "overflows": 0}
    assert_equals_twin(run)


@pytest.fixture
def float16_without_rounding(monkeypatch):
    """Float16 on a CPU: everything of it but the rounding, which paddle leaves out there."""
    monkeypatch.setattr(optimizer, "require_half_precision", lambda level, dtype: None)
    monkeypatch.setattr(optimizer.paddle.amp, "auto_cast", lambda **_: nullcontext())


@pytest.mark.usefixtures("float16_without_rounding")
def test_float16_overflows_are_left_out_and_the_scale_survives_a_resume(tiny_config, tmp_path, monkeypatch):
    cfg = load_config(tiny_config, ["amp.level=O1"])
    run, straight = tmp_path / "run", tmp_path / "straight"
    monkeypatch.setenv(VARIABLE, "gradient=2:inf,gradient=5:nan")
    train(load_config(tiny_config, ["amp.level=O1", f"output_dir={straight}"]))
    monkeypatch.setenv(VARIABLE, "gradient=2:inf,step=3:SIGTERM")
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.setenv(VARIABLE, "gradient=5:nan")
    train(cfg, resume=AUTO)
    one, other = load_tensors(run / LAST), load_tensors(straight / LAST)
    for name, array in one.tensors.items():
        np.testing.assert_array_equal(array, other.tensors[name], err_msg=name)
    expected = {"skipped": 0, "overflows": 2, "loss_scale": 2.0**14, "steps_at_scale": 1}
    assert one.facts["guard"] == other.facts["guard"] == expected
    assert not list(run.glob("nonfinite*"))


@pytest.mark.usefixtures("float16_without_rounding")
def test_the_scale_of_float16_changes_nothing_where_nothing_rounds(tiny_config, tmp_path, twin):
    train(load_config(tiny_config, ["amp.level=O2"]))
    one, other = load_tensors(tmp_path / "run" / LAST).tensors, load_tensors(twin / LAST).tensors
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_mixed_precision_on_a_cpu_is_refused_before_anything_is_read(tiny_config):
    with pytest.raises(ConfigError, match=r"amp\.level is O1"):
        train(load_config(tiny_config, ["amp.level=O1", "data.root=missing"]))


def test_no_cluster_in_the_middle_stops_the_run_which_goes_on_with_another_eps(
    tiny_config, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    command = ["train", "-c", str(tiny_config)]
    monkeypatch.setenv(VARIABLE, "step=3:SIGTERM")
    assert main(command) == 143
    monkeypatch.delenv(VARIABLE)
    no_cluster = ["-o", "labels.eps=1e-6", "-o", "labels.min_samples=10"]
    assert main([*command, "--resume", *no_cluster]) == 5
    error = capsys.readouterr().err
    assert "no cluster found: all 48 images are outliers at" in error and "Traceback" not in error
    assert all_finite(run / LAST) and all_finite(run / BEST)
    assert read_checkpoint(run / LAST).progress.epoch == 1
    kept = (run / BEST).read_bytes()
    assert main([*command, "--resume", *no_cluster]) == 5
    assert (run / BEST).read_bytes() == kept
    assert main([*command, "--resume", "-o", "labels.eps=0.7"]) == 0
    assert read_checkpoint(run / LAST).progress.epoch == 2


def test_everything_in_one_cluster_trains_and_says_what_that_means(tiny_config, tmp_path):
    with pytest.warns(PpreidWarning) as caught:
        history = train(load_config(tiny_config, ["labels.eps=1.0", "labels.k1=40", "solver.epochs=1"]))
    text = "\n".join(str(warning.message) for warning in caught)
    assert "only 1 clusters exist; 0 supports" in text and "1 clusters are fewer than the 4 identities" in text
    assert np.isfinite(history[-1]["mAP"]) and all_finite(tmp_path / "run" / LAST)


@pytest.mark.parametrize(("kept", "code"), [(0, 3), (1, 5)])
def test_an_empty_folder_or_a_single_image_is_an_error_that_says_so(
    tiny_config, tiny_root, tmp_path, kept, code, capsys
):
    root = tmp_path / "few"
    shutil.copytree(tiny_root, root)
    for file in sorted((root / "demo" / "bounding_box_train").iterdir())[kept:]:
        file.unlink()
    assert main(["train", "-c", str(tiny_config), "-o", f"data.root={root}"]) == code
    error = capsys.readouterr().err
    assert error.count("\nerror: ") == 1 and "Traceback" not in error
