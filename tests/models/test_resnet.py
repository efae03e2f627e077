"""ResNet: the layout of paddle.vision's, plus stride, width and IBN-a."""

import math

import numpy as np
import paddle
import pytest
from paddle.vision import models as paddle_models

from ppreid.base.errors import ConfigError
from ppreid.models.resnet import InstanceBatchNorm, resnet


def images(batch=2, height=64, width=32):
    return paddle.to_tensor(np.random.default_rng(0).standard_normal((batch, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize("depth", [18, 50])
def test_with_stride_2_it_is_paddle_visions_network(depth):
    reference = getattr(paddle_models, f"resnet{depth}")(num_classes=0, with_pool=False)
    ours = resnet(depth, last_stride=2)
    state = reference.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.set_state_dict(state)

    for mode in ("train", "eval"):
        getattr(reference, mode)()
        getattr(ours, mode)()
        np.testing.assert_allclose(ours(images()).numpy(), reference(images()).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [18, 50])
def test_stride_1_keeps_the_resolution_of_the_stage_before(depth):
    net = resnet(depth, base_width=8)
    assert net(images()).shape == [2, net.feature_dim, 4, 2]
    assert resnet(depth, base_width=8, last_stride=2)(images()).shape == [2, net.feature_dim, 2, 1]


def test_stride_1_samples_the_same_maps_more_densely():
    # What the strided part computes at every second position appears at every position. In a basic block only the
    # first convolution can be compared: the second one sees its neighbours, which are now nearer.
    for depth, part in ((18, lambda block: block.conv1), (50, lambda block: block)):
        dense, sparse = resnet(depth, base_width=8), resnet(depth, base_width=8, last_stride=2)
        sparse.set_state_dict(dense.state_dict())
        dense.eval()
        sparse.eval()
        maps = paddle.randn([1, dense.layer4[0].conv1.weight.shape[1], 8, 4])

        out, strided = part(dense.layer4[0])(maps), part(sparse.layer4[0])(maps)

        np.testing.assert_allclose(out[:, :, ::2, ::2].numpy(), strided.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "feature_dim", "blocks"), [(34, 128, 16), (101, 512, 33), (152, 512, 50)])
def test_deeper_networks(depth, feature_dim, blocks):
    net = resnet(depth, base_width=16)
    assert net.feature_dim == feature_dim
    assert sum(len(stage) for stage in (net.layer1, net.layer2, net.layer3, net.layer4)) == blocks


def test_half_width_has_a_quarter_of_the_parameters():
    sizes = [sum(math.prod(p.shape) for p in resnet(18, base_width=w).parameters()) for w in (64, 32)]
    assert sizes[1] / sizes[0] == pytest.approx(0.25, rel=0.01)
    assert resnet(18, base_width=32).feature_dim == 256


def test_initialisation_follows_fan_out_and_the_seed():
    paddle.seed(3)
    first = resnet(50)
    paddle.seed(3)
    again = resnet(50)
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy(), err_msg=name)
    for name in ("conv1", "layer1.0.conv2", "layer2.0.downsample.0", "layer4.2.conv3"):
        weight = first.state_dict()[f"{name}.weight"].numpy()
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        assert weight.std() == pytest.approx(math.sqrt(2 / fan_out), rel=0.03), name
        assert abs(weight.mean()) < 0.1 * weight.std(), name
    assert first.bn1.weight.numpy().tolist() == [1.0] * 64
    assert first.bn1.bias.numpy().tolist() == [0.0] * 64


def test_ibn_a_sits_behind_the_first_convolution_of_layers_1_to_3():
    net = resnet(50, base_width=8, ibn=True)
    found = {name for name, layer in net.named_sublayers() if isinstance(layer, InstanceBatchNorm)}
    assert found == {f"layer{s}.{b}.bn1" for s, blocks in ((1, 3), (2, 4), (3, 6)) for b in range(blocks)}
    assert net(images()).shape == [2, 256, 4, 2]


def test_ibn_a_normalises_the_first_half_per_image_and_the_rest_per_batch():
    x = np.random.default_rng(0).normal(2.0, 3.0, (3, 5, 4, 2)).astype(np.float32)
    out = InstanceBatchNorm(5)(paddle.to_tensor(x)).numpy()
    for channel in range(5):
        for image in range(3):
            group = x[image, channel] if channel < 2 else x[:, channel]
            expected = (x[image, channel] - group.mean()) / np.sqrt(group.var() + 1e-5)
            np.testing.assert_allclose(out[image, channel], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 51}, "depth of the ResNet is 51.*choose one of: 101, 152, 18, 34, 50"),
        ({"depth": 18, "ibn": True}, "IBN-a is defined for ResNet depth 50 and 101, found depth 18"),
        ({"depth": 18, "last_stride": 3}, "last_stride must be 1 or 2, found 3"),
        ({"depth": 18, "base_width": 0}, "base_width must be at least 1, found 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        resnet(**arguments)
