"""A training run as a process of its own, and what can be seen of it from outside."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import VARIABLE

from ppreid.base.errors import WeightsError
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.folder import LAST

LIMIT = 600  # seconds after which a process here hangs; a busy machine is slow
NO_MOUNT = 99  # exit code of a script that may not mount


def command(checkout, config, *overrides):
    """The command that trains, or goes on with, the run of a configuration."""
    options = [part for override in overrides for part in ("-o", override)]
    faults = checkout / "tests" / "reliability" / "faults.py"
    return [sys.executable, str(faults), "train", "-c", str(config), "--resume", "auto", *options]


def run_with_own_mounts(script):
    """Run a shell script whose mounts nobody else sees; skip the test where that is not allowed."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    done = subprocess.run([*unshare, "sh", script], capture_output=True, text=True, timeout=2 * LIMIT)
    if done.returncode == NO_MOUNT or "unshare" in done.stderr:
        pytest.skip(f"no small file system can be mounted here: {done.stderr}")
    return done


def start(arguments, until):
    """A training process in a group of its own, after it printed a line that starts with `until`."""
    process = _popen(arguments, os.environ)
    for line in process.stderr:
        if line.startswith(until):
            return process
    raise AssertionError(process.communicate(timeout=LIMIT))


def start_and_stop(arguments, step):
    """A training process that is stopped (SIGSTOP) after a step."""
    process = _popen(arguments, {**os.environ, VARIABLE: f"step={step}:SIGSTOP"})
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.communicate(timeout=LIMIT)
    return process


def _popen(arguments, environment):
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=environment)


def children(process):
    """Process ids of the children of a process."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def steps_saved(run):
    """Steps of the running epoch in the last checkpoint; 0 if there is none, as between the two renames of saving."""
    try:
        progress = read_checkpoint(run / LAST).progress
    except WeightsError:
        return 0
    return progress.steps


def assert_no_orphans(process):
    """Nobody of the process group is alive."""
    for _ in range(100 * LIMIT):
        if not (left := list(_group(process.pid))):
            return
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail(f"workers outlived their run: {left}")


def _group(number):
    """Processes of a group, without the dead ones that nobody has asked about yet."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == number and state not in "ZX":
            yield int(path.parent.name)
