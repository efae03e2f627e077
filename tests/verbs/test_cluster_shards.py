"""Labels that shards of rows make, on any machines, are those of one call, byte for byte."""

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from ppreid.cli import main
from ppreid.disk.shards import all_shards
from ppreid.neighbours import row_search, tiles
from ppreid.verbs import cluster_shards

OPTIONS = [word for key in ("k1=10", "k2=3", "eps=0.5", "min_samples=3") for word in ("-o", f"labels.{key}")]
STEPS = ("neighbours", "encoding", "pairs")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of 16 rows."""
    monkeypatch.setattr(tiles, "ROWS_PER_TILE", 16)
    for owner in (row_search, cluster_shards):
        monkeypatch.setattr(owner, "ROWS_PER_SHARE", 16)


@pytest.fixture
def features(tmp_path, clustered_features, monkeypatch):
    """A file of 100 features in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.save("f.npy", clustered_features(100, num_ids=12, spread=0.4)[0])
    return tmp_path / "f.npy"


def call(*arguments):
    return main(["cluster", "--features", "f.npy", *OPTIONS, *map(str, arguments)])


def rounds(count, *options, times=3):
    for _ in range(times):
        for shard in reversed(all_shards(count)):
            assert call("--shard", f"{shard.number}/{count}", *options) == 0


@pytest.fixture
def done(features, tmp_path):
    """The work of three shards, all done."""
    rounds(3)
    return tmp_path / "f.shards"


@pytest.mark.parametrize("neighbours", ["exact", "certified"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_labels_are_those_of_one_call(count, neighbours, features, tmp_path, capsys):
    options = ["-o", f"labels.neighbours={neighbours}"]
    assert call("--out", "whole.csv", *options) == 0
    whole = capsys.readouterr().err
    rounds(count, *options)
    capsys.readouterr()
    assert call("--merge", count, "--out", "merged.csv", *options) == 0
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    line = next(line for line in whole.splitlines() if "outliers, largest" in line).partition("clusters")[2]
    assert line in capsys.readouterr().err


def test_more_shards_than_images(features, tmp_path):
    np.save("f.npy", np.repeat(np.eye(2, 16, dtype=np.float32), 3, axis=0))
    rounds(7, "-o", "labels.k1=3")
    assert call("--merge", 7, "--out", "merged.csv", "-o", "labels.k1=3") == 0
    lines = (tmp_path / "merged.csv").read_text().splitlines()
    assert [line.partition(",")[2] for line in lines[1:]] == list("000111")


def test_a_shard_does_what_can_be_done_and_says_for_whom_it_waits(features, tmp_path, capsys):
    assert call("--shard", "1/2", "--work", "new/work") == 0
    assert "shard 1 of 2 waits for neighbours of 1 others, the first is 2 of 2" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "new" / "work").iterdir()] == ["neighbours.1-of-2.safetensors"]
    assert call("--shard", "2/2", "--work", "new/work") == 0
    assert "waits for encoding of 1 others, the first is 1 of 2" in capsys.readouterr().err
    assert call("--shard", "1/2", "--work", "new/work") == call("--shard", "2/2", "--work", "new/work") == 0
    assert call("--merge", 2, "--work", "new/work", "--out", "labels.csv") == 0
    assert call("--shard", "2/2", "--work", "new/work") == 0
    assert "shard 2 of 2 is done already" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from ppreid.disk import shards
from ppreid.neighbours import row_search, tiles

tiles.ROWS_PER_TILE = row_search.ROWS_PER_SHARE = 16
real = shards.save_tensors

def save(path, *rest):
    if path.name.startswith("encoding"):
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, *rest)

shards.save_tensors = save
from ppreid.cli import main
main(sys.argv[1:])
"""


def test_what_a_kill_leaves_is_gone_on_with(features, tmp_path):
    assert call("--out", "whole.csv") == 0
    rounds(3, times=1)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "f.shards").iterdir()}
    command = [sys.executable, "-c", KILLED, "cluster", "--features", "f.npy", *OPTIONS, "--shard", "2/3"]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    rounds(3, times=2)
    assert call("--merge", 3, "--out", "merged.csv") == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_all_outliers_are_said_as_by_one_call(features, capsys):
    rounds(2)
    for merge in ([], ["--merge", "2"]):
        assert call(*merge, "-o", "labels.min_samples=60") == 5
        assert "no cluster found: all 100 images are outliers at labels.min_samples=60" in capsys.readouterr().err


@pytest.mark.parametrize("step", STEPS)
def test_a_shard_that_is_lost_damaged_or_there_twice(step, done, capsys):
    file = done / f"{step}.2-of-3.safetensors"
    last = STEPS.index(step) == 2
    again = ["--merge", "3"] if last else ["--shard", "1/3"]  # what reads it
    for later in STEPS[STEPS.index(step) + 1 :]:
        (done / f"{later}.1-of-3.safetensors").unlink()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert call(*again) == 3
    assert f"{step}.2-of-3.safetensors is damaged" in (text := capsys.readouterr().err)
    assert "delete it and run --shard 2/3 again" in text
    shutil.copy(done / f"{step}.3-of-3.safetensors", file)
    assert call(*again) == 3
    assert f"{step}.2-of-3.safetensors was made with another shard" in capsys.readouterr().err
    file.unlink()
    assert call(*again) == (3 if last else 0)
    wanted = f"{step}.2-of-3.safetensors is missing: shard 2 of 3 is not done; run --shard 2/3 first"
    assert (wanted if last else f"waits for {step} of 1 others, the first is 2 of 3") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "what"), [("k1=9", "k1"), ("eps=0.4", "eps"), ("neighbours=certified", "neighbour search")]
)
def test_shards_of_other_settings(key, what, done, capsys):
    for option in (["--merge", "3"], ["--shard", "1/3"]):
        assert call(*option, "-o", f"labels.{key}") == 3
        assert f"pairs.1-of-3.safetensors was made with another {what}" in capsys.readouterr().err


def test_shards_of_other_features(done, clustered_features, capsys):
    np.save("f.npy", clustered_features(100, num_ids=12, spread=0.4, seed=1)[0])
    assert call("--merge", 3) == 3
    assert "pairs.1-of-3.safetensors was made with another features" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--shard", "4/3"], "--shard takes NUMBER/SHARDS, for example 3/16, and counts from 1; found '4/3'"),
        (["--merge", "0"], "a work of 0 shards was asked for"),
        (["--work", "x"], "--work is the folder of shards; give --shard I/N or --merge N as well"),
        (["--shard", "1/3", "--sweep", "eps=0.3:0.5:0.1"], "--shard makes labels for one eps; leave --sweep out"),
        (["--shard", "1/3", "-o", "labels.neighbours=ivf"], "labels.neighbours is 'ivf', which is not exact"),
        (["--merge", "3", "-o", "labels.clusterer=hdbscan"], "labels.clusterer is 'hdbscan', which needs all images"),
        (["--shard", "1/3", "-o", "labels.camera_centre=on"], "labels.camera_centre is 100.0, which needs all images"),
    ],
)
def test_wrong_arguments(arguments, text, features, capsys):
    assert call(*arguments) == 2
    assert text in capsys.readouterr().err


def test_shards_are_of_a_file_of_features(features, capsys):
    assert main(["cluster", "--shard", "1/3"]) == 2
    assert "--shard needs --features FILE, which ppreid extract writes" in capsys.readouterr().err
