"""Every option that names something to read, of every command, given what cannot be read."""

import errno
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ppreid.cli import VERBS, main

BAD = "BAD"  # stands for what cannot be read
CAMERAS = ["-o", "data.name=camera_folder", "-o", "data.root=images"]


def tiny(*more):
    """The configuration of the workshop, with weights."""
    return ["-c", "tiny.yaml", "-o", "model.weights=net.safetensors", "-o", "eval.engine=eager", *more]


def labelled(query, gallery):
    return [*CAMERAS, "-o", f"data.camera_folder.query={query}", "-o", f"data.camera_folder.gallery={gallery}"]


class Row(NamedTuple):
    """A command that reads BAD, its exit code, and the suffix of what it reads; "/" for a folder."""

    command: list[str]
    code: int
    suffix: str


WEIGHTS = ["-o", f"model.weights={BAD}"]
TRAIN = ["train", "-c", "tiny.yaml", "-o", "output_dir=fresh"]
ROOT = ["-o", f"data.root={BAD}"]
READS = {
    "train -c": Row(["train", "-c", BAD], 2, ".yaml"),
    "train data.root": Row([*TRAIN, *ROOT], 3, "/"),
    "train model.weights": Row([*TRAIN, *WEIGHTS], 4, ".safetensors"),
    "train --resume": Row([*TRAIN, "--resume", BAD], 4, ".safetensors"),
    "train --resume FOLDER": Row([*TRAIN, "--resume", BAD], 4, "/"),
    "train camera_folder.csv": Row(
        [*TRAIN, *CAMERAS, "-o", "data.camera_folder.camera=csv", "-o", f"data.camera_folder.csv={BAD}"],
        3,
        ".csv",
    ),
    "train camera_folder.query": Row([*TRAIN, *labelled(BAD, "images")], 3, "/"),
    "train camera_folder.gallery": Row([*TRAIN, *labelled("labels.csv", BAD)], 3, ".csv"),
    "adapt RUN": Row(["adapt", BAD], 2, "/"),
    "adapt model.weights": Row(["adapt", "-c", "tiny.yaml", *WEIGHTS, "-o", "output_dir=fresh"], 4, ".safetensors"),
    "ablate -c": Row(["ablate", "-c", BAD], 2, ".yaml"),
    "ablate data.root": Row(["ablate", "-c", "tiny.yaml", "--seeds", "1", "--rows", "ise", *ROOT], 3, "/"),
    "eval -c": Row(["eval", "-c", BAD], 2, ".yaml"),
    "eval model.weights": Row(["eval", "-c", "tiny.yaml", *WEIGHTS], 4, ".safetensors"),
    "eval data.root": Row(["eval", *tiny(*ROOT)], 3, "/"),
    "eval RUN": Row(["eval", BAD], 2, "/"),
    "extract RUN": Row(["extract", BAD, "--part", "query", "--out", "x.npy"], 2, "/"),
    "export RUN": Row(["export", BAD, "--out", "x"], 2, "/"),
    "cluster RUN": Row(["cluster", BAD, "--out", "x.csv"], 2, "/"),
    "search index RUN": Row(["search", "index", BAD, "--out", "x"], 2, "/"),
    "extract -c": Row(["extract", "-c", BAD, "--part", "train", "--out", "x.npy"], 2, ".yaml"),
    "extract model.weights": Row(
        ["extract", "-c", "tiny.yaml", *WEIGHTS, "--part", "query", "--out", "x.npy"], 4, ".safetensors"
    ),
    "extract data.root": Row(["extract", *tiny(*ROOT), "--part", "query", "--out", "x.npy"], 3, "/"),
    "extract --images": Row(["extract", *tiny(), "--images", BAD, "--out", "x.npy"], 3, "/"),
    "export -c": Row(["export", "-c", BAD, "--out", "x"], 2, ".yaml"),
    "export model.weights": Row(
        ["export", "-c", "tiny.yaml", *WEIGHTS, "--out", "x", "--formats", "paddle"], 4, ".safetensors"
    ),
    "export --features": Row(["export", "--to", "fiftyone", "--features", BAD, "--out", "x"], 3, ".npy"),
    "export --labels": Row(
        ["export", "--to", "fiftyone", "--features", "f.npy", "--labels", BAD, "--out", "x"], 3, ".csv"
    ),
    "predict EXPORTED": Row(["predict", BAD, "person.png", "--out", "x.npy"], 4, "/"),
    "predict IMAGES": Row(["predict", "net", BAD, "--runtime", "paddle", "--out", "x.npy"], 3, ".png"),
    "predict FOLDER": Row(["predict", "net", BAD, "--runtime", "paddle", "--out", "x.npy"], 3, "/"),
    "predict --compare": Row(["predict", "net", "person.png", BAD, "--runtime", "paddle", "--compare"], 3, ".png"),
    "search index -c": Row(["search", "index", "-c", BAD, "--out", "x"], 2, ".yaml"),
    "search index model.weights": Row(
        ["search", "index", "-c", "tiny.yaml", *WEIGHTS, "--out", "x"], 4, ".safetensors"
    ),
    "search index --images": Row(["search", "index", *tiny("--images", BAD, "--out", "x")], 3, "/"),
    "search index data.root": Row(["search", "index", *tiny(*ROOT, "--out", "x")], 3, "/"),
    "search add INDEX": Row(["search", "add", BAD, "--images", "images"], 3, "/"),
    "search add --images": Row(["search", "add", "index", "--images", BAD], 3, "/"),
    "search query INDEX": Row(["search", "query", BAD, "person.png"], 3, "/"),
    "search query IMAGE": Row(["search", "query", "index", BAD], 3, ".png"),
    "search query FOLDER": Row(["search", "query", "index", BAD], 3, "/"),
    "cluster -c": Row(["cluster", "-c", BAD], 2, ".yaml"),
    "cluster --features": Row(["cluster", "--features", BAD, "--out", "x.csv"], 3, ".npy"),
    "cluster --shard --features": Row(["cluster", "--features", BAD, "--shard", "1/1"], 3, ".npy"),
    "cluster model.weights": Row(["cluster", "-c", "tiny.yaml", *WEIGHTS, "--out", "x.csv"], 4, ".safetensors"),
    "cluster data.root": Row(["cluster", *tiny(*ROOT), "--out", "x.csv"], 3, "/"),
    "convert-weights IN": Row(["convert-weights", BAD, "x.safetensors", "-c", "tiny.yaml"], 4, ".safetensors"),
    "convert-weights -c": Row(["convert-weights", "net.safetensors", "x.safetensors", "-c", BAD], 2, ".yaml"),
    "weights verify FILE": Row(["weights", "verify", BAD], 4, ".safetensors"),
    "report RUN": Row(["report", BAD, "--out", "x.html"], 3, "/"),
    "report RUN RUN": Row(["report", "run", BAD, "--out", "x.html"], 3, "/"),
    "doctor -c": Row(["doctor", "-c", BAD], 2, ".yaml"),
    "doctor data.root": Row(["doctor", *tiny(*ROOT), "--data-only"], 3, "/"),
    "doctor model.weights": Row(["doctor", "-c", "tiny.yaml", *WEIGHTS, "--environment-only"], 1, ".safetensors"),
    "crops SOURCE": Row(["crops", BAD, "--out", "x"], 3, ".mp4"),
    "crops FOLDER": Row(["crops", BAD, "--out", "x"], 3, "/"),
    "crops --boxes": Row(["crops", "images/hall", "--boxes", BAD, "--out", "x"], 3, ".txt"),
    "crops --detector onnx": Row(["crops", "images/hall", "--detector", f"onnx:{BAD}", "--out", "x"], 4, ".onnx"),
    "crops --detector paddle": Row(["crops", "images/hall", "--detector", f"paddle:{BAD}", "--out", "x"], 4, "/"),
    **{
        f"{name} --plugin": Row([*name.split(), *rest, "--plugin", BAD], 2, ".py")
        for name, rest in {
            "train": ["-c", "tiny.yaml"],
            "eval": ["run"],
            "search query": ["index", "person.png"],
            "report": ["run"],
        }.items()
    },
    "config -c": Row(["config", "-c", BAD], 2, ".yaml"),
}
OF_IMAGES = {
    errno.ELOOP: "too many levels of symbolic links",
    errno.ENAMETOOLONG: "its name is longer than this system allows",
    errno.EACCES: "permission denied",
}
"""How messages about images say it."""
EITHER = {"train --resume", "train --resume FOLDER", "predict IMAGES", "predict FOLDER", "search query IMAGE"}
EITHER |= {
    "crops SOURCE",
    "crops FOLDER",
    "search query FOLDER",
    "train camera_folder.query",
    "train camera_folder.gallery",
}
EITHER |= {"adapt RUN", "eval RUN", "extract RUN", "export RUN", "cluster RUN", "search index RUN"}
"""Options that take files and folders."""
every_row = pytest.mark.parametrize("row", READS.values(), ids=READS)


def test_the_table_has_every_command_that_reads():
    assert {name.split()[0] for name in READS} == set(VERBS) - {"make-demo-data"}


def run(row, path, capsys):
    """Run the command with a path in the place of BAD; gives what it says."""
    code = main([word.replace(BAD, str(path)) for word in row.command])
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert code == row.code, text
    assert "Traceback" not in text
    return text


@every_row
def test_what_is_missing_is_named(row, everything, capsys):
    for path in (f"nowhere{row.suffix}", f"person.png/inner{row.suffix}", f"no/such/folder/inner{row.suffix}"):
        path = path.rstrip("/")
        assert path in run(row, path, capsys)


@every_row
def test_what_the_system_refuses_is_said_with_its_reason(row, everything, capsys):
    suffix = row.suffix.strip("/")
    Path(f"round{suffix}").symlink_to(f"round{suffix}")
    for path, number in ((f"round{suffix}", errno.ELOOP), ("x" * 300 + suffix, errno.ENAMETOOLONG)):
        assert_reason(run(row, path, capsys), path, number)


def assert_reason(text, path, number):
    reasons = (os.strerror(number), OF_IMAGES[number])
    assert re.search(rf"cannot read [^\n]*{re.escape(str(path)[:200])}", text), text
    assert any(reason.lower() in text.lower() for reason in reasons), text


@pytest.mark.parametrize("name", sorted(READS.keys() - EITHER))
def test_something_else_than_a_file_or_a_folder_is_refused(name, everything, capsys):
    row = READS[name]
    suffix = row.suffix.strip("/")
    if row.suffix == "/":
        Path("other").touch()
    else:
        Path(f"other{suffix}").mkdir()
    assert f"other{suffix}" in run(row, f"other{suffix}", capsys)


@pytest.mark.parametrize("name", sorted(name for name, row in READS.items() if row.suffix != "/"))
def test_a_pipe_or_a_device_is_not_waited_for(name, everything, capsys):
    row = READS[name]
    os.mkfifo(f"pipe{row.suffix}")
    Path(f"device{row.suffix}").symlink_to("/dev/zero")
    for path in (f"pipe{row.suffix}", f"device{row.suffix}"):
        assert path in run(row, path, capsys)


READ_DATA = {
    "train": "train -c tiny.yaml -o output_dir=fresh -o data.num_workers=0 -o data.on_bad_image=error",
    "eval": "eval -c tiny.yaml -o model.weights=net.safetensors -o eval.engine=eager -o data.num_workers=0",
    "extract": "extract -c tiny.yaml -o model.weights=net.safetensors -o data.num_workers=0 --part query --out x.npy",
    "search index": "search index -c tiny.yaml -o model.weights=net.safetensors -o data.num_workers=0 --out new",
    "cluster": "cluster -c tiny.yaml -o model.weights=net.safetensors -o data.num_workers=0 --out x.csv",
    "doctor": "doctor -c tiny.yaml --data-only -o data.num_workers=0",
}


@contextmanager
def forbidden(path):
    """Only the right of root reads a path."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield path
    finally:
        path.chmod(mode)


@pytest.mark.parametrize("name", READ_DATA)
def test_a_folder_or_an_image_of_a_data_set_that_may_not_be_read(name, everything, tiny_root, like_anybody, capsys):
    parts = {"search index": "bounding_box_test", "cluster": "bounding_box_train", "train": "bounding_box_train"}
    folder = tiny_root / "demo" / parts.get(name, "query")
    row = Row(READ_DATA[name].split(), 3, "/")
    for path in (folder, sorted(folder.iterdir())[0]):
        with forbidden(path), like_anybody():
            text = run(row, path, capsys)
        assert re.search(rf"cannot (look into|read|read image) [^\n]*{path.name}: permission denied", text, re.I), text


@every_row
def test_what_may_not_be_read_is_said_with_its_reason(row, everything, like_anybody, capsys):
    suffix = row.suffix.strip("/")
    secret, locked = Path(f"secret{suffix}"), Path("locked")
    locked.mkdir(exist_ok=True)
    locked.chmod(0)
    if suffix:
        secret.touch()
    else:
        secret.mkdir(exist_ok=True)
    secret.chmod(0)
    with like_anybody():
        for path in (secret, locked / f"inner{suffix}"):
            assert_reason(run(row, path, capsys), path, errno.EACCES)
