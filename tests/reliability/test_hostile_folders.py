"""Folders that a stranger may have changed (an index, an export, a run): one sentence with the file, and soon."""

import json
import os
import shutil

import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError, WeightsError
from ppreid.config.load import load_config
from ppreid.disk.files import file_sha256
from ppreid.disk.text import MAX_JSON, read_json, read_text
from ppreid.export.description import Manifest
from ppreid.export.exported import FILES, MANIFEST_FILE, MAX_BYTES
from ppreid.export.exported import read_manifest as read_export
from ppreid.search.files import CONFIG, MANIFEST, MAX_PARTS, NETWORK, file_names, read_manifest
from ppreid.verbs.index_network import open_index
from ppreid.verbs.search import build_index
from ppreid.weights.files import save_weights

NO_JSON = {
    "nothing": b"",
    "half": b'{"a": 1',
    "a list": b"[]",
    "null": b"null",
    "deep": b'{"a": ' + b"[" * 100_000,
    "digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "NUL": b'{"a": "\0"}',
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "escape sequences": b'{"a": \x1b[2J\x1b]0;x\x07}',
    "large": b'{"a": "' + b"x" * MAX_JSON + b'"}',
}


def fifo(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def said(caught, path):
    """The message, which names the file and holds nothing that a terminal obeys."""
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_of_ours_is_said(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_json(path)
    said(caught, path)


def test_a_pipe_is_not_waited_for(tmp_path):
    fifo(tmp_path / "a.json")
    with pytest.raises(DataError, match="it is a pipe"):
        read_text(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="it is a pipe"):
        load_config(tmp_path / "a.json")
    (tmp_path / "b.yaml").write_text("base: a.json\n")
    with pytest.raises(ConfigError, match="it is a pipe"):
        load_config(tmp_path / "b.yaml")


# an index


@pytest.fixture(scope="module")
def made_once(write_tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    cfg = load_config(write_tiny_config(folder))
    save_weights(folder / "net.safetensors", wiring.reid_net(cfg.model))
    model = cfg.model.model_copy(update={"weights": str(folder / "net.safetensors")})
    build_index(cfg.model_copy(update={"model": model}), folder / "index")
    return folder / "index"


@pytest.fixture
def index(made_once, tmp_path):
    return shutil.copytree(made_once, tmp_path / "index")


def change(index, **changes):
    content = json.loads((index / MANIFEST).read_text())
    (index / MANIFEST).write_text(json.dumps({**content, **changes}))


def sums(count, method="exact"):
    return dict.fromkeys(file_names(count, method), "0" * 64)


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": [1] * (MAX_PARTS + 1), "files": sums(MAX_PARTS + 1)},
        {"parts": [10**18]},
        {"parts": [-1]},
        {"parts": ["8"]},
        {"parts": {"8": 8}},
        {"parts": None},
        {"parts": 8},
        {"parts": [[8]]},
        {"dim": 10**400},
        {"dim": None},
        {"dim": 1.5},
        {"method": None},
        {"method": ["exact"]},
        {"cameras": [1]},
        {"cameras": 1},
        {"cameras": "\x1b[2J"},
        {"made_with": {"weights": 1}},
        {"made_with": []},
        {"files": []},
        {"files": {**sums(1), "../config.yaml": "0" * 64}},
        {"files": {**sums(1), "/etc/passwd": "0" * 64}},
        {"files": {**sums(1), "a\0b": "0" * 64}},
        {"files": {**sums(1), "x" * 5000: "0" * 64}},
        {"files": dict.fromkeys(sums(1), 0)},
        {"version": "\x1b[2J"},
        {"\x1b[2J": 1},
    ],
    ids=lambda changes: ascii(changes)[:40],
)
def test_values_in_the_manifest_of_an_index(index, changes):
    change(index, **changes)
    with pytest.raises(DataError) as caught:
        read_manifest(index)
    said(caught, index)


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_a_manifest_of_an_index_that_is_none(index, content):
    (index / MANIFEST).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_manifest(index)
    said(caught, index / MANIFEST)


def test_every_file_of_an_index_is_a_file(index):
    for name in [MANIFEST, *file_names(1, "exact")]:
        content = (index / name).read_bytes()
        fifo(index / name)
        with pytest.raises(DataError, match="it is a pipe") as caught:
            open_index(index)
        said(caught, index / name)
        (index / name).unlink()
        (index / name).mkdir()
        with pytest.raises(DataError, match="it is a folder") as caught:
            open_index(index)
        said(caught, index / name)
        (index / name).rmdir()
        (index / name).write_bytes(content)
    assert open_index(index).manifest.parts


@pytest.mark.parametrize("base", ["base.yaml", "../secret.yaml", "/etc/passwd", "\x1b[2J", "x" * 5000, "[1]"])
def test_the_configuration_of_an_index_reads_no_other_file(index, base):
    (index / "../secret.yaml").write_text("data: {root: secret}\n")
    (index / CONFIG).write_text(f"base: {json.dumps(base)}\n{(index / CONFIG).read_text()}")
    change(index, files={name: file_sha256(index / name) for name in file_names(1, "exact")})
    with pytest.raises(DataError, match=r":1: there is a base:") as caught:
        open_index(index)
    said(caught, index / CONFIG)


@pytest.mark.parametrize("weights", ["../net.safetensors", "/etc/passwd", "imagenet", "none"])
def test_the_configuration_of_an_index_names_no_other_weights(index, weights):
    text = (index / CONFIG).read_text()
    assert f"weights: {NETWORK}" in text
    (index / CONFIG).write_text(text.replace(f"weights: {NETWORK}", f"weights: {weights}"))
    change(index, files={name: file_sha256(index / name) for name in file_names(1, "exact")})
    with pytest.raises(DataError, match="has its own network"):
        open_index(index, ["device=cpu"])


# an export


def export(folder, **changes):
    """A folder with a description that is right but for the changes, and files with nothing to run in them."""
    (folder / FILES["onnx"][0]).write_bytes(b"network")
    content = {
        "ppreid": "1",
        "paddle": "3",
        "backbone": "resnet50",
        "weights_sha256": "0" * 64,
        "input": {"shape": ["batch", 64, 32, 3], "mean": [0, 0, 0], "std": [1, 1, 1]},
        "output": {"shape": ["batch", 8]},
        "files": {FILES["onnx"][0]: file_sha256(folder / FILES["onnx"][0])},
    }
    (folder / MANIFEST_FILE).write_text(json.dumps({**content, **changes}))
    return folder


def test_an_honest_description(tmp_path):
    assert isinstance(read_export(export(tmp_path)), Manifest)


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"../model.onnx": "0" * 64}},
        {"files": {"/etc/passwd": "0" * 64}},
        {"files": {"model.onnx\0": "0" * 64}},
        {"files": {"model.onnx": "\x1b[2J"}},
        {"files": {"\x1b[2J": "0" * 64}},
        {"files": {"x" * 5000: "0" * 64}},
        {"files": []},
        {"files": {"model.pdiparams": "0" * 64}},
        {"input": {"shape": ["batch", 10**9, 10**9, 3], "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"input": {"shape": ["batch", 64, 32, 3], "mean": [0, 0, None], "std": [1, 1, 1]}},
        {"input": None},
        {"output": {"shape": ["batch", -1]}},
        {"format_version": 2},
        {"\x1b[2J": 1},
        {"ppreid": "x" * MAX_BYTES},
    ],
    ids=lambda changes: ascii(changes)[:40],
)
def test_values_in_the_description_of_an_export(tmp_path, changes):
    with pytest.raises(WeightsError) as caught:
        read_export(export(tmp_path, **changes))
    said(caught, tmp_path)


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_a_description_of_an_export_that_is_none(tmp_path, content):
    (export(tmp_path) / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_export(tmp_path)
    said(caught, tmp_path / MANIFEST_FILE)


@pytest.mark.parametrize("name", [MANIFEST_FILE, FILES["onnx"][0]])
def test_every_file_of_an_export_is_a_file(tmp_path, name):
    fifo(export(tmp_path) / name)
    with pytest.raises(WeightsError, match="it is a pipe") as caught:
        read_export(tmp_path)
    said(caught, tmp_path / name)
