"""The ViT against reference numbers made by running the released code, and by its parts."""

import math

import numpy as np
import paddle
import pytest
from models.vit_goldens import (
    check_running_statistics,
    fill,
    golden,
    released_gradients,
    released_state,
    small_net,
    with_prefix,
)

from ppreid.base.errors import ConfigError
from ppreid.models.reid_net import ReIDNet, no_pooling
from ppreid.models.resnet import InstanceBatchNorm
from ppreid.models.vit import vit
from ppreid.models.vit_block import EPSILON, LayerNorm

# the neck removes shift and scale of the last norm: its gradients are nothing but rounding
NEARLY_ZERO = {"sum_cls2": (), "sum_mix_feature": ("norm.weight", "norm.bias")}


def patch_tokens(net, images):
    return net.backbone.patch_embed(images).flatten(2).transpose([0, 2, 1]).numpy()


@pytest.mark.parametrize("kind", ["plain", "stem"])
def test_a_small_network_agrees_with_the_released_code(kind):
    arrays, meta = golden(f"vit_{kind}")
    images, arrays = paddle.to_tensor(arrays["images"]), with_prefix(arrays, f"{kind}.")
    weights = with_prefix(arrays, "weights.")
    net = small_net(meta["shape"], stem=kind == "stem")
    fill(net, weights)

    net.eval()
    with paddle.no_grad():
        np.testing.assert_allclose(patch_tokens(net, images), arrays["eval.tokens"], rtol=0, atol=2e-5)
        np.testing.assert_allclose(net.pooled(images).numpy(), arrays["eval.cls"], rtol=0, atol=2e-5)
        np.testing.assert_allclose(net(images).numpy(), arrays["eval.feature"], rtol=0, atol=2e-6)

    net.train()
    mix = paddle.to_tensor(arrays["mix"])
    for what in ("sum_cls2", "sum_mix_feature"):
        fill(net, weights)
        features, cls = net(images), net.pooled(images)
        np.testing.assert_allclose(features.numpy(), arrays["train.feature"], rtol=0, atol=1e-5)
        ((cls**2).sum() if what == "sum_cls2" else (features * mix).sum()).backward()
        found = released_gradients(net)
        for name, expected in with_prefix(arrays, f"grad.{what}.").items():
            nearly_zero = name in NEARLY_ZERO[what]
            tolerance = 1e-5 if nearly_zero else 1e-4 * np.abs(expected).max()
            np.testing.assert_allclose(found[name][: len(expected)], expected, rtol=0, atol=tolerance, err_msg=name)
        net.clear_gradients()
    fill(net, weights)
    net(images)
    counts = {"bottleneck": 6, "patch_embed": 6 * 32 * 16}  # rows, and places of the maps of the stem
    check_running_statistics(net, with_prefix(arrays, "train.after."), weights, counts)


def filled_tensors(names, shapes):
    """The rule that gave the reference network its weights: every tensor from its own seed."""
    tensors = {}
    for index, name in enumerate(names):
        rng, shape = np.random.Generator(np.random.PCG64(20220 + index)), shapes[name]
        if name in ("cls_token", "pos_embed"):
            values = 0.1 * rng.standard_normal(shape)
        elif len(shape) >= 2:
            values = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        elif name.endswith("running_var"):
            values = rng.uniform(0.5, 1.5, shape)
        elif name.endswith(("running_mean", ".bias")):
            values = 0.1 * rng.standard_normal(shape)
        else:
            values = 1.0 + 0.1 * rng.standard_normal(shape)
        tensors[name] = values.astype(np.float32)
    return tensors


@pytest.mark.parametrize(
    ("name", "stem", "size"), [("vit_small", False, 21_640_320), ("vit_small_ics", True, 23_001_792)]
)
def test_the_real_network_agrees_with_the_released_code(name, stem, size):
    arrays, meta = golden("vit_full")
    arrays = with_prefix(arrays, f"{name}.")
    net = ReIDNet(vit(conv_stem=stem), pooling=no_pooling)
    shapes = {key: value.shape for key, value in released_state(net).items()}
    assert sorted(shapes) == meta[f"{name}.names"]
    assert sum(math.prod(shape) for key, shape in shapes.items() if "running" not in key) == size
    weights = filled_tensors(meta[f"{name}.names"], shapes)
    fill(net, weights)
    rng = np.random.Generator(np.random.PCG64(meta["image_seed"]))
    pixels = rng.standard_normal((4, 3, 256, 128)) + rng.standard_normal((4, 3, 1, 1))
    images = paddle.to_tensor(pixels.astype(np.float32))

    net.eval()
    with paddle.no_grad():
        np.testing.assert_allclose(patch_tokens(net, images)[:, :3], arrays["eval.tokens_first3"], rtol=0, atol=3e-5)
        np.testing.assert_allclose(net.pooled(images).numpy(), arrays["eval.cls"], rtol=0, atol=5e-5)
        np.testing.assert_allclose(net(images).numpy(), arrays["eval.feature"], rtol=0, atol=2e-6)

    net.train()
    features = net(images)
    np.testing.assert_allclose(features.numpy(), arrays["train.feature"], rtol=0, atol=2e-5)
    mix = np.random.Generator(np.random.PCG64(4242)).standard_normal((4, 384)).astype(np.float32)
    (features * paddle.to_tensor(mix)).sum().backward()
    norms = {key: np.linalg.norm(value) for key, value in released_gradients(net).items()}
    expected = meta[f"{name}.grad_norm.sum_mix_feature"]
    for key in expected.keys() - {"norm.weight", "norm.bias"}:
        assert norms[key] == pytest.approx(expected[key], rel=2e-3 if stem else 1e-4), key
    counts = {"bottleneck": 4, "patch_embed": 4 * 128 * 64}
    check_running_statistics(net, with_prefix(arrays, "train.after."), weights, counts)


def test_half_of_the_channels_are_normalised_image_by_image():
    arrays, _ = golden("vit_pieces")
    norm = InstanceBatchNorm(6)
    weights = with_prefix(arrays, "ibn.weights.")
    renamed = {"IN.scale": weights["IN.weight"], "BN._mean": weights["BN.running_mean"]}
    renamed |= {"BN._variance": weights["BN.running_var"]}
    norm.set_state_dict({name: renamed.get(name, weights.get(name)) for name in norm.state_dict()})
    x = paddle.to_tensor(arrays["ibn_x"])
    norm.train()
    np.testing.assert_allclose(norm(x).numpy(), arrays["ibn.train"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(norm.BN._mean.numpy(), arrays["ibn.after.BN.running_mean"], rtol=0, atol=2e-6)
    count, before = 4 * 5 * 3, weights["BN.running_var"]
    unbiased = arrays["ibn.after.BN.running_var"]
    biased = 0.9 * before + (unbiased - 0.9 * before) * (count - 1) / count
    np.testing.assert_allclose(norm.BN._variance.numpy(), biased, rtol=0, atol=2e-6)


def layer_norm_gradient(x, weight, bias, upstream):
    """By hand, row by row."""
    found = np.zeros_like(x)
    for row, (values, grad) in enumerate(zip(x, upstream * weight, strict=True)):
        deviation = np.sqrt(values.var() + EPSILON)
        unit = (values - values.mean()) / deviation
        for i in range(len(values)):
            found[row, i] = (grad[i] - grad.mean() - unit[i] * (grad * unit).mean()) / deviation
    return found


@pytest.mark.parametrize("frozen", [(), ("weight",), ("bias",), ("weight", "bias")], ids=lambda names: "-".join(names))
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_gradient_through_a_norm_is_right_whatever_of_it_is_frozen(frozen, mode):
    rng = np.random.default_rng(0)
    x, upstream = rng.standard_normal((5, 8)), rng.standard_normal((5, 8))
    weight, bias = rng.uniform(0.2, 3, 8), rng.standard_normal(8)
    norm = LayerNorm(8)
    getattr(norm, mode)()
    norm.set_state_dict({"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)})
    for name in frozen:
        getattr(norm, name).stop_gradient = True
    rows = paddle.to_tensor(x.astype(np.float32), stop_gradient=False)
    (norm(rows) * paddle.to_tensor(upstream.astype(np.float32))).sum().backward()
    np.testing.assert_allclose(rows.grad.numpy(), layer_norm_gradient(x, weight, bias, upstream), rtol=0, atol=1e-5)
    if "weight" not in frozen:
        unit = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + EPSILON)
        np.testing.assert_allclose(norm.weight.grad.numpy(), (unit * upstream).sum(0), rtol=0, atol=1e-5)


def test_freezing_a_norm_changes_no_other_gradient():
    arrays, meta = golden("vit_plain")
    images, weights = paddle.to_tensor(arrays["images"]), with_prefix(arrays, "plain.weights.")
    gradients = []
    for frozen in ((), ("norm1",)):
        net = small_net(meta["shape"], stem=False)
        fill(net, weights)
        for name in frozen:
            getattr(net.backbone.blocks[1], name).weight.stop_gradient = True
        (net.pooled(images) ** 2).sum().backward()
        gradients.append(released_gradients(net))
    trained, with_frozen = gradients
    assert trained.keys() - with_frozen.keys() == {"blocks.1.norm1.weight"}
    for name, gradient in with_frozen.items():
        np.testing.assert_allclose(gradient, trained[name], rtol=0, atol=1e-5 * np.abs(trained[name]).max() + 1e-7)


def test_a_network_of_one_patch_and_one_block():
    net = ReIDNet(vit(height=16, width=16, base_width=4, heads=1, depth=1, drop_path=0.5), pooling=no_pooling)
    assert net.backbone.drop_rates == [0.0]
    assert net.backbone.pos_embed.shape == [1, 2, 4]
    net.eval()
    features = net(paddle.ones([2, 3, 16, 16])).numpy()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"height": 250}, "patches of 16x16 pixels, and data.height x data.width is 250x128; choose multiples of 16"),
        ({"width": 0}, "is 256x0"),
        ({"drop_path": 1.0}, "drop_path must be at least 0 and below 1, found 1.0"),
        ({"heads": 0}, "must be at least 1"),
    ],
)
def test_bad_arguments(options, text):
    with pytest.raises(ConfigError, match=text):
        vit(**options)
