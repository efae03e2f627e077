"""OSNet: its size, its streams, and the names that its published weights have."""

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from ppreid.base.errors import ConfigError
from ppreid.models.osnet import OmniScaleBlock, osnet
from ppreid.models.reid_net import ReIDNet
from ppreid.weights.match import load_weights
from ppreid.weights.names import from_ppreid_names
from ppreid.weights.network import network_of


def trainable(layer):
    return sum(int(p.size) for name, p in layer.named_parameters() if not name.endswith(("._mean", "._variance")))


def test_it_has_the_size_of_the_published_network():
    net = osnet()
    gates = sum(trainable(block.gate) for block in net.sublayers() if isinstance(block, OmniScaleBlock))
    behind = 512 * 512 + 512 + 2 * 512  # a linear layer and its normalisation, which are left out here
    # torchreid prints 2,193,616, in which the gate of a block counts once for each of its four streams
    assert trainable(net) + behind + 3 * gates == 2_193_616
    assert gates == sum(2 * (2 * mid * (mid // 16) + mid // 16 + mid) for mid in (64, 96, 128))


def test_maps_are_a_sixteenth_of_the_image():
    net = osnet(base_width=4)
    net.eval()
    assert net(paddle.zeros([2, 3, 64, 32])).shape == [2, 32, 4, 2]
    assert net.feature_dim == 32


def test_a_block_by_hand():
    paddle.seed(0)
    block = OmniScaleBlock(8, 16)
    block.eval()
    x = paddle.rand([2, 8, 6, 5])
    reduced = block.conv1(x)
    total = 0
    for stream, depth in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        out = reduced
        layers = getattr(block, f"conv2{stream}")
        for layer in [layers] if depth == 1 else list(layers):
            out = layer(out)
        pooled = out.numpy().mean((2, 3))  # (B, 4)
        fc1, fc2 = (getattr(block.gate, name) for name in ("fc1", "fc2"))
        hidden = np.maximum(pooled @ fc1.weight.numpy()[:, :, 0, 0].T + fc1.bias.numpy(), 0)
        gate = 1 / (1 + np.exp(-(hidden @ fc2.weight.numpy()[:, :, 0, 0].T + fc2.bias.numpy())))
        total = total + out.numpy() * gate[:, :, None, None]
    expected = block.conv3(paddle.to_tensor(total)) + block.downsample(x)
    np.testing.assert_allclose(block(x).numpy(), np.maximum(expected.numpy(), 0), rtol=0, atol=1e-5)


def test_streams_see_three_to_nine_pixels():
    block = OmniScaleBlock(4, 16)
    block.eval()
    for stream, reach in zip("abcd", (1, 2, 3, 4), strict=True):
        one = np.zeros((1, 4, 13, 13), np.float32)
        one[:, :, 6, 6] = 1
        layer = getattr(block, f"conv2{stream}")
        for light in [layer] if stream == "a" else list(layer):
            for conv in (light.conv1, light.conv2):
                conv.weight.set_value(paddle.ones_like(conv.weight))
        seen = layer(paddle.to_tensor(one)).numpy()[0, 0] > 0
        rows = np.flatnonzero(seen.any(axis=1))
        assert (rows.min(), rows.max()) == (6 - reach, 6 + reach)


def test_a_published_file_begins_a_training(tmp_path):
    trained = ReIDNet(osnet(base_width=8))
    theirs = from_ppreid_names({name: t.numpy() for name, t in trained.state_dict().items()}, "torchreid")
    file = {name: array for name, array in theirs.items() if not name.startswith("neck")}
    assert {"conv2.0.conv2b.1.conv2.weight", "conv2.2.0.bn.running_mean", "conv5.bn.running_var"} <= file.keys()
    file |= {"fc.0.weight": np.ones((64, 64), np.float32), "fc.1.running_mean": np.ones(64, np.float32)}
    file |= {"classifier.weight": np.ones((10, 64), np.float32), "classifier.bias": np.ones(10, np.float32)}
    save_file(
        {f"module.{name}": np.ascontiguousarray(array) for name, array in file.items()}, tmp_path / "o.safetensors"
    )
    model = ReIDNet(osnet(base_width=8))
    report = load_weights(model, tmp_path / "o.safetensors", as_start=True)
    assert report.naming == "torchreid"
    assert set(report.dropped) == {f"module.{name}" for name in file if name.startswith(("fc.", "classifier."))}
    for name, value in trained.backbone.state_dict().items():
        np.testing.assert_array_equal(model.backbone.state_dict()[name].numpy(), value.numpy())
    shapes = {name: array.shape for name, array in file.items()}
    assert network_of(shapes, "torchreid") == {"model.backbone": "osnet", "model.base_width": "8"}


def test_a_width_below_one_is_refused():
    with pytest.raises(ConfigError, match="base_width must be at least 1, found 0"):
        osnet(base_width=0)
