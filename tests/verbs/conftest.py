import ctypes
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppreid import tables, wiring
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.verbs.search import build_index
from ppreid.weights.files import save_weights

_CAPABILITY_VERSION = 0x20080522  # see capabilities(7) and capset(2)
_READ_AND_WRITE_EVERYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


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
    (folder / "frames").mkdir()
    for number in range(1, 6):  # of a recording in which somebody stands
        pixels = rng.integers(0, 256, (200, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "frames" / f"{number:06d}.png")
    boxes = "".join(f"{number},1,40,20,60,150,1\n" for number in range(1, 6))
    (folder / "boxes.txt").write_text(boxes)
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


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@pytest.fixture
def like_anybody():
    """Runs a block without the right of root to read and write everything; who is not root has none to lose.

    It keeps the user, unlike `os.seteuid`: Python's own modules may lie in a folder that only root may enter.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header, found = _Header(_CAPABILITY_VERSION, 0), (_Capabilities * 2)()

    @contextmanager
    def without_rights():
        assert libc.capget(ctypes.byref(header), found) == 0
        before = found[0].effective
        found[0].effective &= ~_READ_AND_WRITE_EVERYTHING
        assert libc.capset(ctypes.byref(header), found) == 0
        try:
            yield
        finally:
            found[0].effective = before
            libc.capset(ctypes.byref(header), found)

    return without_rights


@pytest.fixture
def hard_demo(monkeypatch):
    """The tiny data set with some identities of the gallery exchanged, so that no ranking is perfect."""
    real = tables.DATASETS["demo"]

    def read(root):
        split = tables.resolve(real.read)(root)
        order = np.random.default_rng(5).permutation(len(split.gallery))
        mixed = [
            record._replace(pid=split.gallery[i].pid) if i % 3 == 0 else record
            for record, i in zip(split.gallery, order, strict=True)
        ]
        return split._replace(gallery=tuple(mixed))

    monkeypatch.setitem(tables.DATASETS, "demo", real._replace(read=read))
