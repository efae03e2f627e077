"""Runs in two processes: the same numbers as in one, and what happens when one of them fails."""

import json
import subprocess
import sys

import numpy as np
import pytest
from faults import PLACES, VARIABLE
from launched import LIMIT, run_ranks, two_machines

from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import LABELS, LAST, METRICS, RESULTS
from ppreid.run.metrics import read_metrics
from ppreid.verbs import report as report_verb
from ppreid.verbs.train import train

pytestmark = pytest.mark.ranks

TIMES = {"seconds", "stage_seconds", "peak_memory_gb"}
IN_TWO_PARTS = "model.bn_chunks=2"


def command(checkout, config, *overrides, verb="train", options=("--resume", "auto")):
    settings = [part for override in (IN_TWO_PARTS, *overrides) for part in ("-o", override)]
    return [checkout / "tests" / "reliability" / "faults.py", verb, "-c", config, *options, *settings]


def rows(folder):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_metrics(folder / METRICS)]


@pytest.fixture(scope="module")
def two_process_twin(checkout, write_tiny_config, tmp_path_factory):
    """Folder of a run that paddle's launcher started in two processes, and that nobody disturbed; its output."""
    folder = tmp_path_factory.mktemp("ranks")
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", folder / "log"]
    arguments = [*launch, *command(checkout, write_tiny_config(folder), options=())]
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run", done.stdout, (folder / "log" / "workerlog.1").read_text()


VIT = ("model.backbone=vit_small", "model.base_width=2", "model.drop_path=0.5", "solver.optimizer=sgd")


@pytest.mark.slow
def test_two_processes_train_a_vit_as_one_does(checkout, write_tiny_config, tmp_path):
    (tmp_path / "two").mkdir()
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", tmp_path / "log"]
    overrides = (*VIT, "solver.epochs=1")
    arguments = [*launch, *command(checkout, write_tiny_config(tmp_path / "two"), *overrides, options=())]
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    train(load_config(write_tiny_config(tmp_path), [IN_TWO_PARTS, *overrides]))
    alone, together = (load_tensors(folder / LAST).tensors for folder in (tmp_path / "run", tmp_path / "two" / "run"))
    for name, array in alone.items():
        np.testing.assert_allclose(together[name], array, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_two_processes_train_as_one_does(two_process_twin, tiny_config, tmp_path):
    together, output, output_of_rank_1 = two_process_twin
    train(load_config(tiny_config, [IN_TWO_PARTS]))
    alone = tmp_path / "run"
    for one, two in zip(rows(alone), rows(together), strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert two[key] == (pytest.approx(value, rel=1e-5, abs=1e-5) if isinstance(value, float) else value), key
    assert (alone / LABELS).read_text() == (together / LABELS).read_text()
    weights = [load_tensors(folder / LAST).tensors for folder in (alone, together)]
    for name, array in weights[0].items():
        np.testing.assert_allclose(weights[1][name], array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert "device: cpu, 2 processes" in output and "epoch 2/2" in output
    assert "epoch" not in output_of_rank_1, "rank 0 alone keeps the log"


@pytest.mark.slow
def test_evaluation_is_shared_by_two_machines_and_written_once(two_process_twin, checkout, tiny_config, tmp_path):
    weights = f"model.weights={two_process_twin[0] / LAST}"
    with two_machines() as machines:
        done = run_ranks(command(checkout, tiny_config, weights, verb="eval", options=()), machines=machines)
    assert [code for code, _, _ in done] == [0, 0], done
    assert "mAP" in done[0][1] and "mAP" not in done[1][1]
    found = json.loads((tmp_path / "run" / RESULTS).read_text())["results"]
    last = [row for row in read_metrics(two_process_twin[0] / METRICS) if row["event"] == "evaluation"][-1]
    assert 100 * found["mean_ap"] == pytest.approx(last["mAP"])


# in this order, on one run: what happens, exit codes, and what the rank that is left says
FAULTS = [
    ("rank1:broadcast=1:kill", [6, -9], "rank 1: ended without a word; something killed it"),
    ("rank1:step=2:SIGTERM", [143, 143], "stopped by SIGTERM; --resume goes on"),
    ("rank0:cluster=1:raise", [1, 6], "rank 0: RuntimeError: PPREID_FAILPOINT: cluster"),
    ("rank0:step=5:stop", [-9, 6], "rank 0: was stopped (SIGSTOP) for 15 seconds"),
    ("", [0, 0], ""),
]


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_others_and_the_run_goes_on(two_process_twin, checkout, tiny_config, tmp_path):
    for fault, codes, says in FAULTS:
        done = run_ranks(command(checkout, tiny_config, "checkpoint.every_steps=1"), **{VARIABLE: fault})
        assert [code for code, _, _ in done] == codes, (fault, done)
        others = [error for code, (_, _, error) in zip(codes, done, strict=True) if code in (0, 6, 143)]
        assert all(says in error for error in others), (fault, done)
        assert not any("Traceback" in error for error in others), (fault, done)
        if "SIGTERM" in fault:
            assert read_checkpoint(tmp_path / "run" / LAST).progress.steps == 2
    twin = two_process_twin[0]
    assert rows(tmp_path / "run") == rows(twin)
    assert (tmp_path / "run" / LABELS).read_text() == (twin / LABELS).read_text()
    ours, theirs = (load_tensors(folder / LAST).tensors for folder in (tmp_path / "run", twin))
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_a_tool_for_one_process_says_so(checkout, tiny_config, monkeypatch, capsys):
    from ppreid.cli import main

    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert main(["cluster", "-c", str(tiny_config)]) == 2
    assert "cluster runs in one process; start it without paddle.distributed.launch" in capsys.readouterr().err


@pytest.mark.parametrize("place", PLACES)
def test_every_failpoint_is_reached_and_the_run_goes_on(place, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{place}=1:raise")
    monkeypatch.setattr(report_verb, "report_of_training", lambda *args: None)
    cfg = load_config(tiny_config, ["solver.epochs=1", "solver.iters=2"])
    with pytest.raises(RuntimeError, match=f"{VARIABLE}: {place}"):
        train(cfg, resume=AUTO)
    monkeypatch.delenv(VARIABLE)
    train(cfg, resume=AUTO)
    assert read_checkpoint(tmp_path / "run" / LAST).progress.epoch == 1
