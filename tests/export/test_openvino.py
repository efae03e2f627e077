import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import paddle
import pytest

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.config.schema import EvaluationModelConfig, TrainingConfig
from ppreid.export import inference, openvino_engine
from ppreid.models.flip import FlipAveraged
from ppreid.models.parts import AllHeads
from ppreid.training.extract import engines_tried, extract_features, feature_blocks

SIZE = (32, 16)


class NoiseLoader:
    """Noise images in batches of a size; the last batch is smaller."""

    def __init__(self, num_images, batch_size=4):
        self.num_images, self.rows, self.batch_size = num_images, range(num_images), batch_size
        self.images = np.random.default_rng(0).standard_normal((num_images, 3, *SIZE), dtype=np.float32)

    def __len__(self):
        return -(-self.num_images // self.batch_size)

    def __iter__(self):
        for start in range(0, self.num_images, self.batch_size):
            images = self.images[start : start + self.batch_size]
            yield paddle.to_tensor(images), np.arange(start, start + len(images))


def net(backbone="resnet18", **settings):
    """A small network none of whose normalisations is what it starts as."""
    paddle.seed(0)
    config = EvaluationModelConfig(backbone=backbone, base_width=8, **settings)
    model = wiring.reid_net(config, image_size=SIZE, bn_chunks=2)
    for value in model.state_dict().values():
        if value.ndim == 1:
            value.set_value(paddle.rand(value.shape) + 0.5)
    return model


@pytest.fixture(autouse=True)
def on_the_cpu():
    paddle.set_device("cpu")


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        *[(name, {}) for name in tables.BACKBONES if name not in ("vit_base", "vit_base_ics", "resnet152")],
        ("resnet18", {"pooling": "gem", "embedding_dim": 16, "last_stride": 2}),
        ("resnet50", {"pooling": "max"}),
        ("resnet18", {"pooling": "gem", "parts": 3}),
    ],
)
def test_openvino_gives_the_features_of_the_network(backbone, settings):
    model, loader = net(backbone, **settings), NoiseLoader(10)
    eager = extract_features(model, loader, engine="eager")
    found = extract_features(model, loader, engine="openvino")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, eager, atol=1e-5)


def test_networks_around_a_network_are_known_too():
    loader = NoiseLoader(5)
    with_parts = wiring.reid_net(EvaluationModelConfig(backbone="resnet18", base_width=8), has_parts=True)
    for wrapped in (FlipAveraged(in_evaluation(net())), AllHeads(in_evaluation(with_parts))):
        eager = extract_features(wrapped, loader, engine="eager")
        np.testing.assert_allclose(extract_features(wrapped, loader, engine="openvino"), eager, atol=1e-5)


def test_the_bits_of_a_feature_depend_neither_on_its_batch_nor_on_the_call():
    model = net()
    alone = extract_features(model, NoiseLoader(19, batch_size=1), engine="openvino")
    for batch_size in (3, 8, 19):
        found = extract_features(model, NoiseLoader(19, batch_size), engine="openvino")
        np.testing.assert_array_equal(found, alone)


def test_the_copy_has_the_weights_of_the_moment_and_leaves_the_network_as_it_is():
    model, loader = net(), NoiseLoader(6)
    before = extract_features(model, loader, engine="openvino")
    assert model.training
    with paddle.no_grad():
        model.backbone.conv1.weight.scale_(-1.0)
    after = extract_features(model, loader, engine="openvino")
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, extract_features(model, loader, engine="eager"), atol=1e-5)


def test_a_layer_that_is_not_known_is_named():
    with pytest.raises(ConfigError, match=r"does not know the layer Flatten; set eval\.engine=inference or eager"):
        extract_features(paddle.nn.Flatten(), NoiseLoader(2), engine="openvino")


def test_features_that_differ_are_refused():
    class Doubled(type(net())):
        def forward(self, images):
            return -super().forward(images)

    model = net()
    model.__class__ = Doubled
    with pytest.raises(ConfigError, match=r"features of OpenVINO in float32 differ .* cosine -1\.0000"):
        extract_features(model, NoiseLoader(2), engine="openvino")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"eval\.engine=openvino needs openvino, .*pip install 'openvino"):
        extract_features(net(), NoiseLoader(2), engine="openvino")


def test_bfloat16_that_would_be_emulated_is_refused(monkeypatch):
    monkeypatch.setattr(inference, "_computes_in_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match=r"eval\.precision is 'bfloat16', but this device"):
        extract_features(net(), NoiseLoader(2), engine="openvino", precision="bfloat16")


def spied(monkeypatch, name, calls, error=None):
    """Let an engine note its name and give zeros, or fail."""

    def engine(model, images, *, precision):
        calls.append((name, precision))
        if error:
            raise error
        return lambda batch: np.zeros((len(batch), 2), np.float32)

    row = tables.ENGINES[name]._replace(function=engine, from_images=3, overlaps=False)
    monkeypatch.setitem(tables.ENGINES, name, row)


@pytest.mark.parametrize(
    ("engine", "installed", "num_images", "used"),
    [
        ("auto", True, 3, ["inference"]),  # labels must not hang on what is installed
        ("fastest", True, 3, ["openvino"]),
        ("fastest", False, 3, ["inference"]),
        ("fastest", True, 2, []),
    ],
)
def test_what_is_tried_hangs_on_engine_installation_and_number(engine, installed, num_images, used, monkeypatch):
    calls = []
    for name in ("inference", "openvino"):
        spied(monkeypatch, name, calls)
    if not installed:
        row = tables.ENGINES["openvino"]._replace(package="a_package_that_nobody_has")
        monkeypatch.setitem(tables.ENGINES, "openvino", row)
    extract_features(paddle.nn.Flatten(), NoiseLoader(num_images), engine=engine)
    assert calls == [(name, "float32") for name in used]
    assert ("openvino" in engines_tried(engine)) == (engine == "fastest" and installed)


def test_the_next_engine_takes_over_with_a_warning(monkeypatch):
    calls = []
    spied(monkeypatch, "openvino", calls, ConfigError("no such layer"))
    spied(monkeypatch, "inference", calls)
    with pytest.warns(PpreidWarning, match="extracted by an engine slower than openvino: no such layer"):
        extract_features(paddle.nn.Flatten(), NoiseLoader(4), engine="fastest")
    assert [name for name, _ in calls] == ["openvino", "inference"]


@pytest.mark.parametrize(("engine", "finished"), [("auto", "fastest"), ("eager", "eager"), ("inference", "inference")])
def test_auto_is_the_fastest_where_nothing_is_trained(engine, finished):
    settings = TrainingConfig.model_validate({"eval": {"engine": engine}}).eval
    assert wiring.finished_engine(settings) == finished
    assert wiring.extractor(settings).keywords["engine"] == engine
    assert wiring.extractor(settings, finished=True).keywords["engine"] == finished


class Meeting:
    """Batches of which the second is read only while the first is in the network."""

    num_images, rows = 3, range(3)

    def __init__(self):
        self.met = threading.Barrier(2, timeout=20)

    def __len__(self):
        return 3

    def __iter__(self):
        for row in range(3):
            if row == 1:
                self.met.wait()
            yield paddle.to_tensor([[float(row)]]), np.array([row])


def test_the_next_batch_is_read_while_one_is_in_the_network(monkeypatch):
    loader = Meeting()

    def engine(model, images, *, precision):
        def infer(batch):
            if batch.item() == 0:
                loader.met.wait()  # fails after 20 seconds unless the loader comes here meanwhile
            return batch.numpy()

        return partial(ThreadPoolExecutor(max_workers=1).submit, infer)

    monkeypatch.setitem(tables.ENGINES, "openvino", tables.ENGINES["openvino"]._replace(function=engine))
    blocks = feature_blocks(paddle.nn.Identity(), loader, engine="openvino")
    assert [(block.item(), rows.item()) for block, rows in blocks] == [(0, 0), (1, 1), (2, 2)]


class Result:
    """Features of one batch, or an error; notes when nobody wants them."""

    def __init__(self, batch, cancelled):
        self.batch, self.cancelled = batch, cancelled

    def result(self):
        if self.batch.shape[0] < 4:  # the last one
            raise DataError("no")
        return np.zeros((self.batch.shape[0], 2), np.float32)

    def cancel(self):
        self.cancelled.append(self.batch.shape[0])


def with_results(monkeypatch):
    """Let OpenVINO's engine give a `Result`; gives the list of those that nobody wanted."""
    cancelled = []

    def engine(model, images, *, precision):
        return lambda batch: Result(batch, cancelled)

    monkeypatch.setitem(tables.ENGINES, "openvino", tables.ENGINES["openvino"]._replace(function=engine))
    return cancelled


def test_an_error_in_the_network_comes_out_and_the_mode_is_restored(monkeypatch):
    with_results(monkeypatch)
    model = paddle.nn.Identity()
    with pytest.raises(DataError, match="no"):
        extract_features(model, NoiseLoader(9), engine="openvino")
    assert model.training


def test_what_is_under_way_is_given_up_with_the_pass(monkeypatch):
    cancelled = with_results(monkeypatch)
    blocks = feature_blocks(paddle.nn.Identity(), NoiseLoader(13), engine="openvino")
    assert next(blocks)[1].tolist() == [0, 1, 2, 3] and cancelled == []
    blocks.close()
    assert cancelled == [4, 4]  # the batch that was given, and the one behind it


def test_a_part_that_is_not_full_is_filled_up():
    forward = openvino_engine.openvino_forward(in_evaluation(net()), tensor(2), precision="float32")
    many = forward(tensor(2 * openvino_engine.PART + 3)).result()
    assert many.shape == (2 * openvino_engine.PART + 3, net().feature_dim)
    np.testing.assert_array_equal(forward(tensor(2)).result(), many[:2])
    assert forward(tensor(2)[:0]).result().shape == (0, net().feature_dim)


def test_batches_that_are_under_way_together_are_those_of_one_at_a_time():
    forward = openvino_engine.openvino_forward(in_evaluation(net()), tensor(2), precision="float32")
    batches = [tensor(count) * (count - 20) for count in range(1, 40, 3)]
    together = [forward(batch) for batch in batches]
    for batch, features in reversed(list(zip(batches, together, strict=True))):
        np.testing.assert_array_equal(features.result(), forward(batch).result())


def in_evaluation(model):
    model.eval()
    return model


def tensor(count):
    return paddle.to_tensor(NoiseLoader(count).images)
