from pathlib import Path

import numpy as np
import paddle
import pytest

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.config.schema import EvaluationModelConfig
from ppreid.export import inference
from ppreid.models.parts import AllHeads
from ppreid.training.extract import extract_features


class NoiseLoader:
    """Noise images of 32 x 16 pixels in batches of 4; the last batch is smaller."""

    def __init__(self, num_images):
        self.num_images, self.rows = num_images, range(num_images)
        self.images = np.random.default_rng(0).standard_normal((num_images, 3, 32, 16), dtype=np.float32)

    def __len__(self):
        return -(-self.num_images // 4)

    def __iter__(self):
        for start in range(0, self.num_images, 4):
            images = self.images[start : start + 4]
            yield paddle.to_tensor(images), np.arange(start, start + len(images))


def tiny_net(**settings):
    paddle.seed(0)
    return wiring.reid_net(EvaluationModelConfig(backbone="resnet18", base_width=8, **settings), bn_chunks=2)


class Branching(paddle.nn.Layer):
    """Computes something else when it is exported."""

    def __init__(self):
        super().__init__()
        self.scale = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1.0))

    def forward(self, images):
        rows = self.scale * images.flatten(1)
        return rows if paddle.in_dynamic_mode() else -rows


class Unexportable(paddle.nn.Layer):
    def forward(self, images):
        if not paddle.in_dynamic_mode():
            raise RuntimeError("no static graph")
        return images.flatten(1)


@pytest.fixture(autouse=True)
def on_the_cpu():
    paddle.set_device("cpu")


@pytest.mark.parametrize("settings", [{}, {"pooling": "gem", "embedding_dim": 16}])
def test_inference_gives_the_features_of_the_network(settings):
    model, loader = tiny_net(**settings), NoiseLoader(10)
    eager = extract_features(model, loader, engine="eager")
    found = extract_features(model, loader, engine="inference")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, eager, atol=1e-5)


@pytest.mark.parametrize("backbone", ["resnet50_ibn_a", "vit_small", "vit_small_ics"])
def test_other_kinds_of_networks_can_be_exported(backbone):
    loader = NoiseLoader(3)
    size = tuple(loader.images.shape[2:])
    model = wiring.reid_net(EvaluationModelConfig(backbone=backbone, base_width=8), image_size=size)
    expected = extract_features(model, loader, engine="eager")
    np.testing.assert_allclose(extract_features(model, loader, engine="inference"), expected, atol=1e-5)


def test_what_training_clusters_by_halves_is_exported_as_well():
    wrapped = AllHeads(wiring.reid_net(EvaluationModelConfig(backbone="resnet18", base_width=8), has_parts=True))
    expected = extract_features(wrapped, NoiseLoader(3), engine="eager")
    found = extract_features(wrapped, NoiseLoader(3), engine="inference")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape[1] == 3 * wrapped.model.feature_dim


def test_the_copy_is_made_anew_and_only_the_weights_change_its_features():
    model, loader = tiny_net(), NoiseLoader(6)
    before, again = (extract_features(model, loader, engine="inference") for _ in range(2))
    np.testing.assert_array_equal(again, before)
    with paddle.no_grad():
        model.backbone.parameters()[0].scale_(-1.0)
    after = extract_features(model, loader, engine="inference")
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, extract_features(model, loader, engine="eager"), atol=1e-5)


def test_training_goes_on_as_if_nothing_had_been_exported():
    def two_steps(engine):
        model, images = tiny_net(), paddle.to_tensor(NoiseLoader(4).images)
        optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
        for _ in range(2):
            if engine:
                extract_features(model, NoiseLoader(4), engine=engine)
            assert model.training
            model(images)[:, 0].sum().backward()
            optimizer.step()
            optimizer.clear_grad()
        return {name: value.numpy() for name, value in model.state_dict().items()}

    expected, found = two_steps(None), two_steps("inference")
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_bfloat16_is_close_and_not_equal():
    try:
        inference.usable_precision("bfloat16")
    except ConfigError:
        pytest.skip("this device does not compute in bfloat16")
    model, loader = tiny_net(), NoiseLoader(6)
    eager = extract_features(model, loader, engine="eager")
    found = extract_features(model, loader, engine="inference", precision="bfloat16")
    cosine = (found * eager).sum(axis=1)
    assert cosine.min() > inference.MIN_COSINE
    assert np.abs(found - eager).max() > 1e-6


@pytest.mark.parametrize(
    ("has_bfloat16", "wanted", "usable"),
    [
        (True, "float32", "float32"),
        (True, "auto", "bfloat16"),
        (True, "bfloat16", "bfloat16"),
        (False, "auto", "float32"),
    ],
)
def test_precision_follows_the_device(has_bfloat16, wanted, usable, monkeypatch):
    monkeypatch.setattr(inference, "_computes_in_bfloat16", lambda: has_bfloat16)
    assert inference.usable_precision(wanted) == usable


def test_bfloat16_that_would_be_emulated_is_refused(monkeypatch):
    monkeypatch.setattr(inference, "_computes_in_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match=r"eval\.precision is 'bfloat16', but this device .* use auto or float32"):
        extract_features(tiny_net(), NoiseLoader(2), engine="inference", precision="bfloat16")


@pytest.mark.parametrize(("num_images", "exports"), [(7, False), (8, True)])
def test_auto_exports_where_it_pays_off(num_images, exports, monkeypatch):
    calls = []

    def spy(model, images, *, precision):
        calls.append(precision)
        return lambda batch: batch.flatten(1).numpy()

    monkeypatch.setitem(tables.ENGINES, "inference", tables.ENGINES["inference"]._replace(from_images=8))
    monkeypatch.setattr(inference, "inference_forward", spy)
    extract_features(paddle.nn.Flatten(), NoiseLoader(num_images), engine="auto")
    assert calls == (["float32"] if exports else [])


@pytest.mark.parametrize(
    ("model", "reason"), [(Branching(), r"differ .*cosine -1\.0000"), (Unexportable(), "no static graph")]
)
def test_auto_falls_back_with_a_warning_and_inference_refuses(model, reason, monkeypatch):
    monkeypatch.setitem(tables.ENGINES, "inference", tables.ENGINES["inference"]._replace(from_images=1))
    loader = NoiseLoader(5)
    with pytest.warns(PpreidWarning, match=f"engine slower than inference: .*{reason}"):
        features = extract_features(model, loader)
    np.testing.assert_array_equal(features, loader.images.reshape(5, -1))
    with pytest.raises(ConfigError, match=reason):
        extract_features(model, loader, engine="inference")


def test_nothing_is_left_in_the_temporary_folder_or_on_standard_output(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    extract_features(tiny_net(), NoiseLoader(2), engine="inference")
    assert list(Path(tmp_path).iterdir()) == []
    assert capfd.readouterr().out == ""
