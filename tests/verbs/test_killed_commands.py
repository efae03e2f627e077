"""Commands that are killed where they write: the same command then ends as if nothing had happened."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ppreid.cli import main
from ppreid.search.files import read_manifest

TINY = ["-c", "tiny.yaml", "-o", "model.weights=net.safetensors", "-o", "eval.engine=eager"]
COMMANDS = {
    "cluster": ["cluster", "--features", "f.npy", "--out", "labels.csv"],
    "cluster --shard": ["cluster", "--features", "f.npy", "--shard", "1/1", "--work", "work"],
    "convert-weights": ["convert-weights", "net.safetensors", "out.pdparams", "-c", "tiny.yaml"],
    "doctor": ["doctor", "--data-only", "-c", "tiny.yaml", "--json", "findings.json"],
    "eval": ["eval", *TINY],
    "export": ["export", *TINY, "--out", "net", "--formats", "paddle"],
    "extract": ["extract", *TINY, "--part", "query", "--out", "new/query.npy"],
    "extract --shard": ["extract", *TINY, "--part", "query", "--out", "new/query.npy", "--shard", "1/1"],
    "make-demo-data": ["make-demo-data", "--out", "demo", "--train-identities", "2", "--test-identities", "2"],
    "report": ["report", "run", "--no-images"],
    "search index": ["search", "index", *TINY, "--out", "made"],
    "search index --overwrite": ["search", "index", *TINY, "--out", "index", "--overwrite"],
    "search query": ["search", "query", "index", "person.png", "--json", "found.json", "--contact-sheet", "found.png"],
}
RENAME, UNLINK = "rename,renameat,renameat2", "unlink,unlinkat"
# what is killed without --long: the last rename of an index, new or anew, the removal of the notes of an extraction,
# and the second step of a shard
SAMPLE = {
    ("search index", RENAME): [7],
    ("search index --overwrite", RENAME): [7],
    ("extract", UNLINK): [1],
    ("cluster --shard", RENAME): [2],
    ("report", "fsync"): [1],
    ("export", RENAME): [2],
    ("export", "fsync"): [6],
}


def killed_at(calls, number, arguments):
    """Whether a command, in a process of its own, was killed at the n-th of these system calls."""
    if not shutil.which("strace"):
        pytest.skip("strace is not there to kill at a system call")
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    strace += ["-e", f"inject={calls}:signal=KILL:when={number}"]
    run = [*strace, sys.executable, "-m", "ppreid.cli", *arguments]
    done = subprocess.run(run, env=os.environ | {"TMPDIR": "temporary"}, capture_output=True, text=True, timeout=300)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


def ends_with(arguments):
    """The exit code of a command; an export names layers by a counter of the process, so it has one of its own."""
    if arguments[0] != "export":
        return main(arguments)
    run = [sys.executable, "-m", "ppreid.cli", *arguments]
    return subprocess.run(run, env=os.environ | {"TMPDIR": "temporary"}, capture_output=True, timeout=300).returncode


def left_behind():
    names = {file.name for file in Path().rglob("*") if file.name.startswith(".") or ".partial" in file.name}
    return names | {name for name in os.listdir("temporary") if "ppreid" in name}  # others are those of Python itself


def check_kills(name, calls, numbers, workshop, monkeypatch):
    """Kill a command at some of its system calls, each time in a new copy of the workshop; gives how often it was."""
    for number in numbers:
        shutil.copytree(workshop, copy := workshop.with_name(f"{name}_{calls[:3]}{number}"))
        monkeypatch.chdir(copy)
        Path("temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(copy / "temporary"))
        if not killed_at(calls, number, COMMANDS[name]):
            return number - 1
        read_manifest(Path("index"))  # the one that is there, or the one that takes its place, is always whole
        assert ends_with(COMMANDS[name]) == 0
        assert left_behind() == set()
        shutil.rmtree(copy)
    return len(numbers)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "calls"), SAMPLE)
def test_the_same_command_ends_well_and_nothing_is_left_behind(name, calls, workshop, monkeypatch):
    assert check_kills(name, calls, SAMPLE[name, calls], workshop, monkeypatch) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_killed_everywhere(name, workshop, monkeypatch, is_long):
    if not is_long:
        pytest.skip("--long kills every command at every rename, fsync and unlink")
    points = [check_kills(name, calls, range(1, 100), workshop, monkeypatch) for calls in (RENAME, "fsync", UNLINK)]
    assert points[0] >= 1 and points[1] >= 2, "each file is renamed, and flushed with its folder"
