"""Faults from outside, on real processes: each run is compared with the twin that nobody disturbed."""

import errno
import itertools
import os
import resource
import shutil
import subprocess
import time

import numpy as np
import pytest
from faults import VARIABLE
from run_process import LIMIT, NO_MOUNT, assert_no_orphans, command, run_with_own_mounts, start

from ppreid.base.errors import Interrupted, WriteError
from ppreid.config.load import load_config
from ppreid.run import keeper
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import LAST, PREVIOUS
from ppreid.verbs.train import train


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_like_its_twin(
    checkout, tiny_config, tmp_path, assert_equals_twin, is_long
):
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    arguments = command(checkout, tiny_config, "checkpoint.every_steps=1", "data.num_workers=2")
    delays = rng.uniform(0, 0.7, 50 if is_long else 5)
    for delay in delays:
        process = start(arguments, until="data set:")
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=LIMIT)
        assert_no_orphans(process)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, (delays, done.stderr)
    assert_equals_twin(tmp_path / "run")


def killed_at(calls, number, arguments):
    """Runs until the process is killed at the n-th of these system calls; the finished process."""
    if not shutil.which("strace"):
        pytest.skip("strace is not there to kill at a system call")
    inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    inject += ["-e", f"inject={calls}:signal=KILL:when={number}"]
    done = subprocess.run([*inject, *arguments], capture_output=True, text=True, timeout=LIMIT)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    return done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("calls", "numbers", "left"),
    [
        # a first start renames metrics, configuration, environment, first checkpoint, labels, last to previous, new to
        # last; a resumed one the same without first checkpoint, and last to previous only if there is a last one
        ("rename,renameat,renameat2", (4, 6, 6, 5), (set(), {LAST}, {PREVIOUS}, {PREVIOUS})),
        # each file and then its folder; and the first evaluation in metrics.jsonl
        ("fsync", (8, 9, 9, 10), (set(), {LAST}, {LAST}, {LAST, PREVIOUS})),
    ],
)
def test_a_run_killed_at_a_commit_point_ends_like_its_twin(
    checkout, tiny_config, tmp_path, assert_equals_twin, calls, numbers, left
):
    arguments = command(checkout, tiny_config, "checkpoint.every_steps=1")
    for number, names in zip(numbers, left, strict=True):
        done = killed_at(calls, number, arguments)
        assert done.returncode != 0
        assert {name for name in (LAST, PREVIOUS) if (tmp_path / "run" / name).exists()} == names
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert_equals_twin(tmp_path / "run")


@pytest.mark.slow
def test_a_run_killed_at_every_commit_point_ends_like_its_twin(
    checkout, tiny_config, tmp_path, assert_equals_twin, is_long
):
    """With retention, which deletes. The sample is the first unlink; the test above has the other calls."""
    run, arguments = tmp_path / "run", command(checkout, tiny_config, "checkpoint.every=1", "checkpoint.keep=1")
    for calls in ("unlink,unlinkat", "fsync", "rename,renameat,renameat2") if is_long else ("unlink,unlinkat",):
        for number in itertools.count(1):
            shutil.rmtree(run, ignore_errors=True)
            killed = killed_at(calls, number, arguments)
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT)
            assert done.returncode == 0, (calls, number, done.stderr)
            assert_equals_twin(run)
            assert (run / "checkpoint_epoch_000002.safetensors").exists()
            if killed.returncode == 0 or not is_long:
                break


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not there to let a system call fail")
def test_an_input_output_error_is_one_message_and_the_run_goes_on_afterwards(
    checkout, tiny_config, tmp_path, assert_equals_twin
):
    arguments = command(checkout, tiny_config, "checkpoint.every_steps=1")
    inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=11+"]
    done = subprocess.run([*inject, *arguments], capture_output=True, text=True, timeout=LIMIT)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == WriteError.exit_code, done.stderr
    assert os.strerror(errno.EIO) in done.stderr and "Traceback" not in done.stderr
    train(load_config(tiny_config), resume=AUTO)
    assert_equals_twin(tmp_path / "run")


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_the_run_goes_on_with_more_room(
    checkout, tiny_config, twin, tmp_path, assert_equals_twin
):
    size = (twin / LAST).stat().st_size // 1024
    run, script = tmp_path / "run", tmp_path / "script.sh"
    run.mkdir()
    train = " ".join(command(checkout, tiny_config, "checkpoint.every_steps=1"))
    script.write_text(
        f"mount -t tmpfs -o size={int(2.7 * size)}k none {run} || exit {NO_MOUNT}\n"
        f"{train} > {tmp_path}/out 2> {tmp_path}/err; echo $? > {tmp_path}/code; ls -A {run} > {tmp_path}/files\n"
        f"mount -o remount,size={100 * size}k {run} && {train} && cp -a {run} {tmp_path}/copy\n"
    )
    done = run_with_own_mounts(script)
    assert done.returncode == 0, done.stderr
    error = (tmp_path / "err").read_text()
    assert (tmp_path / "code").read_text() == f"{WriteError.exit_code}\n", error
    assert os.strerror(errno.ENOSPC) in error and "bytes" in error and "Traceback" not in error
    assert LAST in (tmp_path / "files").read_text() and ".tmp" not in (tmp_path / "files").read_text()
    assert_equals_twin(tmp_path / "copy")


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_file_size_limit_leaves_the_last_checkpoint(tiny_config, tmp_path, monkeypatch, assert_equals_twin, step):
    cfg = load_config(tiny_config)
    monkeypatch.setenv(VARIABLE, f"step={step}:SIGTERM")
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.delenv(VARIABLE)
    before = (tmp_path / "run" / LAST).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(WriteError, match=rf"cannot write checkpoint .*: {os.strerror(errno.EFBIG)}; it needs "):
            train(cfg, resume=AUTO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "run" / LAST).read_bytes() == before
    train(cfg, resume=AUTO)
    assert_equals_twin(tmp_path / "run")


@pytest.mark.skipif(not shutil.which("chattr") or os.geteuid() != 0, reason="chattr needs to be there and root")
def test_a_folder_that_becomes_read_only_stops_the_run(tiny_config, tmp_path, monkeypatch, assert_equals_twin):
    run, real, visits = tmp_path / "run", keeper.epoch_row, []
    if subprocess.run(["chattr", "+i", tmp_path], capture_output=True).returncode:
        pytest.skip("the file system has no immutable folders")
    subprocess.run(["chattr", "-i", tmp_path], check=True)

    def read_only_from_here(*args):
        visits.append(subprocess.run(["chattr", "+i", run], check=True))
        return real(*args)

    monkeypatch.setattr(keeper, "epoch_row", read_only_from_here)
    cfg = load_config(tiny_config)
    try:
        with pytest.raises(WriteError, match=rf"cannot write checkpoint {run}.*: Operation not permitted"):
            train(cfg)
    finally:
        subprocess.run(["chattr", "-i", run], check=True)
    assert len(visits) == 1
    monkeypatch.setattr(keeper, "epoch_row", real)
    assert read_checkpoint(run / LAST).progress.steps == 3
    assert len(list((tmp_path / "run-rescued").iterdir())) == 1
    train(cfg, resume=AUTO)
    assert_equals_twin(run)
