"""eval.precision int8: calibrated on the images at hand, close to the network, and refused where it cannot be."""

import logging
import shutil
import sys

import nncf
import numpy as np
import paddle
import pytest
from test_openvino import SIZE, net

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.export import int8
from ppreid.training.extract import extract_features
from ppreid.verbs.search import build_index, search
from ppreid.weights.files import save_weights

NUM_IMAGES = int8.FEWEST_IMAGES + 6


class Images:
    """Noise of many brightnesses in batches of a size; notes which rows are asked for by number."""

    def __init__(self, num_images=NUM_IMAGES, batch_size=16, rows=None):
        rng = np.random.default_rng(0)
        self.num_images, self.batch_size, self.asked = num_images, batch_size, []
        self.rows = range(num_images) if rows is None else rows
        self.images = rng.standard_normal((num_images, 3, *SIZE), dtype=np.float32)
        self.images *= rng.uniform(0.1, 1.5, (num_images, 1, 1, 1)).astype(np.float32)

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        for start in range(self.rows.start, self.rows.stop, self.batch_size):
            rows = np.arange(start, min(start + self.batch_size, self.rows.stop))
            yield paddle.to_tensor(self.images[rows]), rows

    def images_of(self, rows):
        self.asked.append(list(rows))
        return paddle.to_tensor(self.images[rows])


def in_int8(model, loader, engine="openvino"):
    return extract_features(model, loader, engine=engine, precision="int8")


@pytest.fixture(autouse=True)
def on_the_cpu():
    paddle.set_device("cpu")


@pytest.mark.parametrize(("backbone", "settings"), [("resnet18", {"pooling": "gem"}), ("osnet", {})])
def test_features_are_close_to_those_of_the_network_and_not_the_same(backbone, settings, capfd):
    model, loader = net(backbone, **settings), Images()
    eager = extract_features(model, loader, engine="eager")
    found = in_int8(model, loader)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert (found * eager).sum(axis=1).min() > 0.99
    assert np.abs(found - eager).max() > 1e-4
    assert model.training
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("engine", ["auto", "fastest"])
def test_the_same_images_give_the_same_bytes_in_any_batch_shard_and_engine_that_chooses(engine):
    model = net()
    whole = in_int8(model, Images())
    shard = range(NUM_IMAGES - 21, NUM_IMAGES)
    found = in_int8(model, Images(batch_size=5, rows=shard), engine)
    np.testing.assert_array_equal(found, whole[-21:])


@pytest.mark.parametrize("num_images", [64, 70, 1000])
def test_calibration_images_are_spread_over_the_whole_set(num_images, monkeypatch):
    seen = []

    def engine(model, images, *, precision, calibration):
        seen.append(calibration)
        return lambda batch: batch.flatten(1).numpy()

    monkeypatch.setitem(
        tables.ENGINES, "openvino", tables.ENGINES["openvino"]._replace(function=engine, overlaps=False)
    )
    loader = Images(num_images, batch_size=num_images)
    in_int8(paddle.nn.Flatten(), loader)
    (rows,) = loader.asked
    assert len(rows) == len(set(rows)) == min(num_images, int8.CALIBRATION_IMAGES)
    assert rows[0] == 0 and rows == sorted(rows)
    assert set(np.diff(rows)) <= {num_images // len(rows), -(-num_images // len(rows))}
    np.testing.assert_array_equal(seen[0], loader.images[rows])


@pytest.mark.parametrize("engine", ["eager", "inference"])
def test_an_engine_without_int8_is_refused(engine):
    with pytest.raises(ConfigError, match=f"int8, which eval.engine={engine} does not have; set eval.engine=openvino"):
        in_int8(net(), Images(), engine)


def test_too_few_images_are_refused():
    with pytest.raises(ConfigError, match=r"at least 64 are needed, and there are 63; set eval\.precision=float32"):
        in_int8(net(), Images(63))


def test_the_log_of_a_program_that_quantises_is_left_to_it():
    """Pytest is such a program: where a logger does not pass on its records, its handlers are given to that logger."""
    nncf_logger, handler = logging.getLogger("nncf"), logging.NullHandler(logging.INFO)
    level = nncf_logger.level
    nncf_logger.addHandler(handler)
    try:
        in_int8(net(), Images())
    finally:
        nncf_logger.removeHandler(handler)
    assert (handler.level, nncf_logger.level) == (logging.INFO, level)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ConfigError, match=r"eval\.precision=int8 needs nncf, .*pip install 'ppreid\[int8\]'"):
        in_int8(net(), Images())


def test_features_that_eight_bits_lose_are_refused_with_the_number():
    """One channel that nobody reads spans so much that all others fall on one step."""
    model = net()
    with paddle.no_grad():
        for stage in (model.backbone.layer1, model.backbone.layer2, model.backbone.layer3, model.backbone.layer4):
            for block in stage:
                block.bn1.weight[0] = 1e5
                block.conv2.weight[:, 0] = 0.0
    loader = Images()
    eager = extract_features(model, loader, engine="eager")
    np.testing.assert_allclose(extract_features(model, loader, engine="openvino"), eager, atol=1e-4)
    with pytest.raises(
        ConfigError, match=r"OpenVINO in int8 differ .* cosine 0\.\d{4}, at least 0\.97 .*precision=float32"
    ):
        in_int8(model, loader)


def test_what_nncf_says_of_a_network_comes_out(monkeypatch):
    def quantize(*args, **given):
        raise nncf.InternalError("no such operation")

    monkeypatch.setattr(nncf, "quantize", quantize)
    with pytest.raises(
        ConfigError, match=r"nncf cannot quantise this network \(no such operation\); set eval\.precision"
    ):
        in_int8(net(), Images())


@pytest.fixture
def in_eight_bits(tiny_config, tmp_path, monkeypatch):
    """A configuration with int8, which a gallery of 24 images is enough for."""
    monkeypatch.setattr(int8, "FEWEST_IMAGES", 16)
    monkeypatch.setattr(int8, "CALIBRATION_IMAGES", 16)
    save_weights(tmp_path / "net.safetensors", wiring.reid_net(load_config(tiny_config).model, seed=0))
    settings = ["eval.precision=int8", f"model.weights={tmp_path / 'net.safetensors'}"]
    return load_config(tiny_config, settings)


def test_an_index_in_int8_is_searched_in_float32(in_eight_bits, tiny_root, tmp_path):
    crops = tiny_root / "demo" / "bounding_box_test"
    assert build_index(in_eight_bits, tmp_path / "index", images=crops) == 24
    original = sorted(crops.iterdir())[5]
    query = shutil.copy(original, tmp_path)
    with pytest.raises(ConfigError, match=r"at least 16 are needed, and there are 1; set eval\.precision=float32"):
        search(tmp_path / "index", [query])
    (found,) = search(tmp_path / "index", [query], overrides=["eval.precision=float32"])
    assert found.matches[0].path == str(original)
