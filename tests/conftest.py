"""Shared by all tests."""

import json
import logging
import signal
import warnings
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import paddle
import pytest
from PIL import Image

import ppreid  # noqa: F401 - before paddle, see ppreid/__init__.py
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet

# under nohup it is ignored, by everything that tests start as well, and a run that ignores it goes on
signal.signal(signal.SIGHUP, signal.SIG_DFL)

GOLDENS = Path(__file__).parent / "data" / "goldens"

TINY_RUN = """
base: {base}
output_dir: {output_dir}
device: cpu
data: {{name: demo, root: {root}, height: 32, width: 16, num_workers: 0}}
model: {{backbone: resnet18, base_width: 8, weights: none, bn_chunks: 1}}
labels: {{k1: 5, k2: 2, eps: 0.6, min_samples: 2}}
batch: {{identities: 4, images: 4}}
solver: {{epochs: 2, iters: 3, lr: 1.0e-3, lr_step: 10, warmup_iters: 0}}
eval: {{every: 1, batch_size: 16}}
log: {{every: 2}}
report: {{enabled: false}}
checkpoint: {{fallback_dir: {output_dir}-rescued}}
"""


def pytest_addoption(parser):
    """--long: what takes too long for every change, see docs/reliability.md."""
    parser.addoption("--long", action="store_true", help="all kills and commit points instead of a sample; takes hours")


@pytest.fixture(scope="session")
def is_long(request) -> bool:
    """Whether --long was given."""
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def golden():
    """Load reference numbers made by running the released ISE code and fast-reid's ranking code: (arrays, meta)."""

    def load(name):
        with np.load(GOLDENS / f"{name}.npz", allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return arrays, json.loads(str(arrays.pop("meta"))) if "meta" in arrays else {}

    return load


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the repository."""
    return Path(__file__).resolve().parent.parent


def write_person(path: Path, identity: int, rng: np.random.Generator) -> None:
    """A crop of 32x16 pixels: coloured stripes that belong to the identity, and noise."""
    colours = np.random.default_rng(identity).integers(0, 256, (4, 1, 3))
    stripes = np.repeat(np.repeat(colours, 8, axis=0), 16, axis=1) + rng.normal(0, 15, (32, 16, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(stripes, 0, 255).astype(np.uint8)).save(path, quality=95)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """A data root with "demo": 6 training and 4 test identities, 2 cameras, in Market-1501 layout."""
    root = tmp_path_factory.mktemp("data")
    write_tiny_data(root, np.random.default_rng(0))
    return root


def write_tiny_data(root: Path, rng: np.random.Generator) -> None:
    """See `tiny_root`."""
    for pid in range(1, 11):
        for camera in (1, 2):
            for shot in range(4):
                name = f"{pid:04d}_c{camera}s1_{shot:06d}_00.jpg"
                part = "bounding_box_train" if pid <= 6 else ("query" if shot == 0 else "bounding_box_test")
                write_person(root / "demo" / part / name, pid, rng)


@pytest.fixture(scope="session")
def write_tiny_config(tiny_root, checkout):
    """Writes a configuration of a two-epoch run on the tiny data into a folder, and gives its path."""

    def write(folder: Path) -> Path:
        base, path = checkout / "configs" / "base.yaml", folder / "tiny.yaml"
        path.write_text(TINY_RUN.format(base=base, root=tiny_root, output_dir=folder / "run"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def tiny_config(write_tiny_config, tmp_path):
    """Path of a configuration of a two-epoch run on the tiny data."""
    return write_tiny_config(tmp_path)


@pytest.fixture(autouse=True)
def untouched_logger():
    """Commands set up the logger and the warnings of the process; give both back unchanged.

    Commands of fixtures that serve a module come before this, and what they set up would stay for all tests to come.
    """
    logger = logging.getLogger("ppreid")
    logger.handlers.clear()
    logger.propagate = True
    level, show = logger.level, warnings.showwarning
    yield
    logger.handlers.clear()
    logger.propagate, warnings.showwarning = True, show
    logger.setLevel(level)


@pytest.fixture
def clustered_features() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Maker of (N, D) unit rows around `num_ids` centres, and the centre of each row."""

    def make(n: int, *, dim: int = 16, num_ids: int = 5, spread: float = 0.5, seed: int = 0):
        rng = np.random.default_rng(seed)
        pids = rng.integers(0, num_ids, n)
        rows = rng.standard_normal((num_ids, dim))[pids] + spread * rng.standard_normal((n, dim))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), pids

    return make


@pytest.fixture
def tiny_net() -> Callable[..., ReIDNet]:
    """Builds a ReIDNet on a ResNet-18 with 8 base channels, with the same weights on every call."""

    def build(**options) -> ReIDNet:
        paddle.seed(0)
        return ReIDNet(resnet(18, base_width=8), **options)

    return build


@pytest.fixture(scope="session")
def torch_writer() -> ModuleType:
    """The module weights/torch_writer.py."""
    return module_beside("weights/torch_writer.py")


@pytest.fixture(scope="session")
def fault_module() -> ModuleType:
    """The module reliability/faults.py."""
    return module_beside("reliability/faults.py")


def module_beside(path: str) -> ModuleType:
    """A module of another test folder, which is no package."""
    spec = spec_from_file_location(Path(path).stem, Path(__file__).parent / path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
