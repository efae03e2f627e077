import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ppreid import wiring
from ppreid.config.load import load_config
from ppreid.verbs.search import build_index
from ppreid.weights.files import save_weights


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
