"""The twin that follows a network: its weights, its running statistics, and what is pooled for it."""

import numpy as np
import paddle
import pytest

from ppreid.base.errors import ConfigError
from ppreid.ise.ema import EMATwin
from ppreid.models.reid_net import GeMPool, ReIDNet
from ppreid.models.resnet import resnet


def small():
    return paddle.nn.Sequential(paddle.nn.Linear(5, 4), paddle.nn.BatchNorm1D(4))


def test_three_steps_are_those_of_the_released_code(golden):
    arrays, meta = golden("ema_gem")
    model, network = small(), small()
    names = ("0.weight", "0.bias", "1.weight", "1.bias")

    def put(layer, prefix):
        for name in names:
            layer.state_dict()[name].set_value(arrays[f"{prefix}_{name}"].T)

    twin = EMATwin(model, network, decay=meta["decay"], buffers="average")
    put(network, "ema_twin_before")
    for step in range(3):
        put(model, f"ema_student_step{step}")
        twin.follow(paddle.zeros([2, 5]))
        for name in names:
            wanted = arrays[f"ema_twin_step{step}_{name}"].T
            np.testing.assert_allclose(network.state_dict()[name].numpy(), wanted, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("buffers", ["forward", "average"])
def test_running_statistics_come_from_a_pass_of_its_own_or_are_averaged(buffers):
    paddle.seed(0)
    model, network = small(), small()
    twin = EMATwin(model, network, decay=0.5, buffers=buffers)
    twin.start()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(network.state_dict()[name].numpy(), value.numpy())
    images = paddle.to_tensor(np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32))
    before = network[0](images)  # the pass comes before the new weights
    model[0].weight.set_value(model[0].weight + 1.0)
    model[1]._mean.set_value(paddle.full([4], 8.0))
    twin.follow(images)
    expected = np.full(4, 4.0) if buffers == "average" else 0.1 * before.numpy().mean(axis=0)
    np.testing.assert_allclose(network[1]._mean.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(model[0].weight.numpy() - network[0].weight.numpy(), 0.5, atol=1e-6)
    assert all(value.stop_gradient for value in network.parameters()) and not model[0].weight.stop_gradient


def test_in_parts_the_first_one_moves_the_statistics_as_it_does_those_of_the_network(tiny_net):
    model, whole, parts = (tiny_net(bn_chunks=chunks) for chunks in (2, 2, 1))
    images = paddle.to_tensor(np.random.default_rng(0).standard_normal((8, 3, 32, 16)).astype(np.float32))
    for network, number in ((whole, 1), (parts, 2)):
        twin = EMATwin(model, network, decay=0.9, parts=number)
        twin.start()
        twin.follow(images)
    for name, value in whole.state_dict().items():
        np.testing.assert_allclose(parts.state_dict()[name].numpy(), value.numpy(), atol=1e-5, err_msg=name)
    assert np.abs(whole.neck._mean.numpy()).max() > 0


def test_layers_that_features_do_not_need_may_be_missing():
    model, network = (ReIDNet(resnet(18, base_width=2), embedding_dim=3) for _ in range(2))
    model.auxiliary = paddle.nn.Linear(3, 2)
    EMATwin(model, network, decay=0.9).start()
    np.testing.assert_array_equal(network.embedding.weight.numpy(), model.embedding.weight.numpy())


def test_a_decay_of_one_would_never_move():
    with pytest.raises(ConfigError, match=r"ema\.decay is 1\.0; .* within \[0, 1\)"):
        EMATwin(small(), small(), decay=1.0)


@pytest.mark.parametrize("case", ["gem", "gem_part"])
def test_generalised_means_are_those_of_the_released_code(golden, case):
    arrays, _ = golden("ema_gem")
    pool = GeMPool(float(arrays[f"{case}_p"]))
    maps = paddle.to_tensor(arrays[f"{case}_x"], stop_gradient=False)
    pooled = pool(maps)
    np.testing.assert_allclose(pooled.numpy(), arrays[f"{case}_y"][..., 0, 0], rtol=1e-6, atol=1e-6)
    (pooled**2).sum().backward()
    for found, name in ((maps.grad, "grad_x_of_sum_y2"), (pool.p.grad, "grad_p_of_sum_y2")):
        wanted = arrays[f"{case}_{name}"]
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6 * np.abs(wanted).max(), rtol=1e-6)
    assert not maps.grad.numpy()[arrays[f"{case}_x"] < 1e-6].any()
