"""Signals to a run and faults of its loader's workers, on real processes."""

import os
import signal
import time

import pytest
from run_process import (
    LIMIT,
    NO_MOUNT,
    assert_no_orphans,
    children,
    command,
    run_with_own_mounts,
    start,
    start_and_stop,
    steps_saved,
)

from ppreid.config.load import load_config
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import LAST
from ppreid.verbs.train import train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_saves_and_ends_with_its_code(checkout, tiny_config, tmp_path, name, code, to_group):
    overrides = ["data.num_workers=2", "solver.iters=300", "checkpoint.every_steps=1"]
    process = start(command(checkout, tiny_config, *overrides), until="weights:")
    # within the steps: before them, in reading and clustering, a signal has nothing to save
    while process.poll() is None and not steps_saved(tmp_path / "run"):
        time.sleep(0.05)
    workers = children(process)
    (os.killpg if to_group else os.kill)(process.pid, getattr(signal, name))
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == code, error
    assert f"stopped by {name}; --resume goes on" in error and "Traceback" not in error
    assert steps_saved(tmp_path / "run"), "nothing was saved"
    assert len(workers) >= 2
    assert_no_orphans(process)


def test_workers_do_not_outlive_a_run_that_is_killed_not_even_one_that_hangs(checkout, tiny_config):
    process = start_and_stop(command(checkout, tiny_config, "data.num_workers=2"), step=2)
    workers = children(process)
    os.kill(workers[0], signal.SIGSTOP)
    process.kill()
    process.communicate(timeout=LIMIT)
    assert_no_orphans(process)
    assert len(workers) == 2


@pytest.mark.parametrize(
    ("name", "fate"), [("SIGKILL", "was ended by SIGKILL"), ("SIGSTOP", "gave no sign of life for 10 seconds")]
)
def test_workers_that_die_or_hang_end_the_run_which_goes_on_later(
    checkout, tiny_config, tmp_path, assert_equals_twin, name, fate
):
    """Within the first epoch, whose last batch is ready by then or not."""
    overrides = ["data.num_workers=2", "data.worker_timeout=10", "checkpoint.every_steps=1"]
    process = start_and_stop(command(checkout, tiny_config, *overrides), step=2)
    workers = children(process)
    for worker in workers:
        os.kill(worker, getattr(signal, name))
    os.kill(process.pid, signal.SIGCONT)
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 3, error
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert any(line.startswith(f"error: loader worker {worker} ") for worker in workers) and fate in line
    assert "data.num_workers=0" in line and "Traceback" not in error
    assert_no_orphans(process)
    assert read_checkpoint(tmp_path / "run" / LAST).progress.epoch in (0, 1)
    train(load_config(tiny_config), resume=AUTO)
    assert_equals_twin(tmp_path / "run")


def test_a_tiny_dev_shm_does_not_matter(checkout, tiny_config, tmp_path):
    script = tmp_path / "script.sh"
    # batches of 16 images of 393 kB, four of them under way
    size = ["data.height=256", "data.width=128", "data.num_workers=2", "solver.epochs=1", "solver.iters=3"]
    script.write_text(
        f"mount -t tmpfs -o size=1m none /dev/shm || exit {NO_MOUNT}\n"
        f"{' '.join(command(checkout, tiny_config, *size))} || exit 1\n"
        f"ls -A /dev/shm > {tmp_path}/left\n"
    )
    done = run_with_own_mounts(script)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "left").read_text() == ""
