import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppreid import wiring
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.verbs.search import build_index
from ppreid.weights.files import save_weights

NOBODY = 65534


@pytest.fixture(scope="session")
def made_once(write_tiny_config, tmp_path_factory):
    """A folder with something of everything that commands read."""
    folder = tmp_path_factory.mktemp("workshop")
    cfg = load_config(write_tiny_config(folder))
    save_weights(folder / "net.safetensors", wiring.reid_net(cfg.model))
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(4, 16), 10, axis=0) + 0.05 * rng.standard_normal((40, 16))
    np.save(folder / "f.npy", (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    lines = "".join(f"{row}.jpg,{row // 10},{row % 2}\n" for row in range(40))
    (folder / "f.csv").write_text(f"path,pid,camid\n{lines}")
    Image.new("RGB", (16, 32), "red").save(folder / "person.png")
    (folder / "run").mkdir()
    shutil.copy(folder / "tiny.yaml", folder / "run" / "config.yaml")
    epoch = {"event": "epoch", "epoch": 1, "clusters": 4}
    (folder / "run" / "metrics.jsonl").write_text(json.dumps(epoch) + "\n")
    model = cfg.model.model_copy(update={"weights": str(folder / "net.safetensors")})
    build_index(cfg.model_copy(update={"model": model}), folder / "index")
    return folder


@pytest.fixture
def workshop(made_once, tmp_path, monkeypatch):
    """A copy of it, in which the test is."""
    shutil.copytree(made_once, tmp_path / "workshop")
    monkeypatch.chdir(tmp_path / "workshop")
    return tmp_path / "workshop"


@pytest.fixture(scope="session")
def exported_once(made_once, tmp_path_factory):
    """A copy of it with an exported network and images."""
    folder = Path(shutil.copytree(made_once, tmp_path_factory.mktemp("everything") / "workshop"))
    options = ["-o", f"model.weights={folder / 'net.safetensors'}", "--formats", "paddle"]
    assert main(["export", "-c", str(folder / "tiny.yaml"), *options, "--out", str(folder / "net")]) == 0
    (folder / "images" / "hall").mkdir(parents=True)
    shutil.copy(folder / "person.png", folder / "images" / "hall" / "0001_c1s1_000000_00.png")
    return folder


@pytest.fixture
def everything(exported_once, tmp_path, monkeypatch):
    """A copy of that, in which the test is."""
    shutil.copytree(exported_once, tmp_path / "workshop")
    monkeypatch.chdir(tmp_path / "workshop")
    return tmp_path / "workshop"


@pytest.fixture(scope="session")
def opened_once(made_once, exported_once, tiny_root):
    """A copy of all this and of the data that everybody may enter and write to."""
    folder = Path(tempfile.mkdtemp()) / "workshop"
    shutil.copytree(exported_once, folder)
    shutil.copytree(tiny_root, folder / "data")
    config = (folder / "tiny.yaml").read_text()
    for path, name in ((tiny_root, "data"), (made_once / "run", "out")):
        config = config.replace(str(path), name)
    (folder / "tiny.yaml").write_text(config)
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    yield folder
    shutil.rmtree(folder.parent)


@pytest.fixture
def open_to_all(opened_once, monkeypatch):
    """The same, in which the test is, and in which paddle finds a place for what it keeps."""
    monkeypatch.chdir(opened_once)
    monkeypatch.setenv("HOME", str(opened_once))
    return opened_once


@pytest.fixture
def as_somebody_else():
    """Runs a block without the rights of root, whom permissions do not stop."""

    @contextmanager
    def without_rights():
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            if is_root:
                os.seteuid(0)

    return without_rights
