"""ReIDNet against reference numbers made by running the released ISE code."""

import json
import math
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppreid.models.reid_net import GeMPool, ReIDNet, average_pool
from ppreid.models.resnet import resnet
from ppreid.weights.names import from_ppreid_names, to_ppreid_names

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
POOLINGS = {"avg": lambda: average_pool, "gem": GeMPool}


def filled_tensors(names, shapes):
    """The rule that gave the reference network its weights: every tensor from its own seed."""
    tensors = {}
    for index, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        rng = np.random.Generator(np.random.PCG64(20220 + index))
        if name == "gap.p":
            values = np.full(shape, 3.0)
        elif len(shape) >= 2:
            values = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        elif name.endswith("running_var"):
            values = rng.uniform(0.5, 1.5, shape)
        elif name.endswith(".weight"):
            values = 1.0 + 0.1 * rng.standard_normal(shape)
        else:
            values = 0.1 * rng.standard_normal(shape)
        tensors[name] = values.astype(np.float32)
    return tensors


def reference_images():
    rng = np.random.Generator(np.random.PCG64(31337))
    pixels = rng.standard_normal((4, 3, 256, 128))
    return paddle.to_tensor((pixels + rng.standard_normal((4, 3, 1, 1))).astype(np.float32))


def biased_running_variance(after, before, count):
    """What Paddle keeps on the CPU where the reference framework keeps the unbiased batch variance."""
    return 0.9 * before + (after - 0.9 * before) * (count - 1) / count


@pytest.mark.parametrize("pooling", ["avg", "gem"])
def test_network_agrees_with_the_released_code(pooling):
    golden = np.load(GOLDENS / f"model_resnet50_{pooling}.npz", allow_pickle=False)
    meta = json.loads(str(golden["meta"]))
    net = ReIDNet(resnet(50), pooling=POOLINGS[pooling]())
    theirs = filled_tensors(meta["names"], meta["shapes"])
    ours, _ = to_ppreid_names(theirs, net.state_dict(), "ise-reid")
    assert ours.keys() == net.state_dict().keys()
    net.set_state_dict(ours)
    images = reference_images()

    net.eval()
    with paddle.no_grad():
        np.testing.assert_allclose(net(images).numpy(), golden["eval_feat"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(net.pooled(images).numpy(), golden["eval_gap"], rtol=0, atol=5e-5)

    net.train()
    pooled = []
    handle = net.neck.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0].numpy()))
    features = net(images)
    handle.remove()
    np.testing.assert_allclose(features.numpy(), golden["train_feat"], rtol=0, atol=3e-4)
    np.testing.assert_allclose(pooled[0], golden["train_gap"], rtol=0, atol=3e-4)
    check_running_statistics(net, golden, theirs)

    loss_weights = np.random.Generator(np.random.PCG64(4242)).standard_normal((4, 2048)).astype(np.float32)
    (features * paddle.to_tensor(loss_weights)).sum().backward()
    check_gradients(net, golden, meta)


def check_running_statistics(net, golden, before):
    after = from_ppreid_names({name: t.numpy() for name, t in net.state_dict().items()}, "ise-reid")
    counts = {"base.1": 4 * 128 * 64, "base.7.2.bn3": 4 * 16 * 8, "feat_bn": 4}
    for layer, count in counts.items():
        mean, variance = f"{layer}.running_mean", f"{layer}.running_var"
        expected_variance = biased_running_variance(golden[f"after_{layer}_running_var"], before[variance], count)
        np.testing.assert_allclose(after[mean], golden[f"after_{layer}_running_mean"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(after[variance], expected_variance, rtol=1e-3, atol=1e-4)


def check_gradients(net, golden, meta):
    parameters = dict(net.named_parameters())
    assert parameters["neck.bias"].grad is None
    gradients = {name: p.grad.numpy() for name, p in parameters.items() if p.grad is not None}
    norms = {name: np.linalg.norm(g) for name, g in from_ppreid_names(gradients, "ise-reid").items()}
    assert norms.keys() == meta["train_grad_l2_f64"].keys()
    for name, norm in meta["train_grad_l2_f64"].items():
        assert norms[name] == pytest.approx(norm, rel=0.03), name
    neck, expected = gradients["neck.weight"], golden["train_grad_feat_bn_weight_f64"]
    np.testing.assert_allclose(neck, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    first, expected = gradients["backbone.conv1.weight"][:8], golden["train_grad_base0_f64"]
    np.testing.assert_allclose(first, expected, rtol=0, atol=0.06 * np.abs(expected).max())
