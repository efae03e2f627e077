"""The optimizer, its learning rate, mixed precision and the scale of the loss."""

import numpy as np
import paddle
import pytest

from ppreid.base.errors import ConfigError
from ppreid.ise.memory import ClusterMemory, update_hard
from ppreid.ise.objective import ise_objective
from ppreid.training.finite import FiniteGuard, StepBatch
from ppreid.training.optimizer import (
    GROW_EVERY,
    INITIAL_SCALE,
    LossScale,
    adam_with_l2,
    autocast,
    learning_rate,
    require_half_precision,
    sgd_with_l2,
)
from ppreid.training.step import training_step, whole_batch

RECIPE = {"iters": 400, "lr": 3.5e-4, "lr_step": 30, "lr_gamma": 0.1}


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 3.5e-4), (29, 3.5e-4), (30, 3.5e-5), (59, 3.5e-5), (60, 3.5e-6), (69, 3.5e-6)]
)
def test_the_rate_falls_by_ten_every_lr_step_epochs(epoch, expected):
    first, last = epoch * 400, epoch * 400 + 399
    assert learning_rate(first, **RECIPE) == pytest.approx(expected, rel=1e-12)
    assert learning_rate(last, **RECIPE) == pytest.approx(expected, rel=1e-12)


def test_warm_up_rises_linearly_and_ends():
    rates = [learning_rate(step, warmup_iters=4, **RECIPE) / 3.5e-4 for step in range(6)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_a_frozen_parameter_stays_and_weight_decay_moves_one_without_gradient():
    model = paddle.nn.Linear(1, 2)
    model.bias.stop_gradient = True
    model.bias.set_value(paddle.ones([2]))
    model.weight.set_value(paddle.ones([1, 2]))
    optimizer = adam_with_l2(model, lr=0.1, weight_decay=0.5)
    (model(paddle.ones([3, 1])) * 0.0).sum().backward()
    optimizer.step()
    assert model.bias.numpy().tolist() == [1.0, 1.0]
    # Adam's first step has the size of the learning rate whatever the gradient, here weight_decay * 1
    assert model.weight.numpy() == pytest.approx(0.9, abs=1e-5)


def test_gradient_descent_with_momentum_by_hand():
    model = paddle.nn.Linear(2, 1)
    model.bias.stop_gradient = True
    model.weight.set_value(np.array([[1.0], [-2.0]], np.float32))
    bias = model.bias.numpy().copy()
    optimizer = sgd_with_l2(model, lr=0.1, weight_decay=0.5, momentum=0.9)
    weight, direction = np.array([1.0, -2.0]), np.zeros(2)
    for step in range(4):
        rate = 0.1 if step < 2 else 0.01  # the direction is kept when the rate falls
        gradient = np.array([3.0, 0.0]) * step
        optimizer.set_lr(rate)
        (model.weight[:, 0] * paddle.to_tensor(gradient.astype(np.float32))).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        direction = 0.9 * direction + gradient + 0.5 * weight
        weight = weight - rate * direction
        np.testing.assert_allclose(model.weight.numpy()[:, 0], weight, rtol=1e-6)
    np.testing.assert_array_equal(model.bias.numpy(), bias)


def test_the_scale_doubles_after_many_good_steps_and_halves_down_to_one():
    scale = LossScale(is_dynamic=True)
    for _ in range(GROW_EVERY - 1):
        scale.count_step()
    assert scale.value == INITIAL_SCALE
    scale.count_step()
    assert (scale.value, scale.steps) == (2 * INITIAL_SCALE, 0)
    for _ in range(GROW_EVERY - 1):
        scale.count_step()
    assert scale.shrink() and (scale.value, scale.steps) == (INITIAL_SCALE, 0)  # an overflow begins the count anew
    assert not scale.count_step() and scale.value == INITIAL_SCALE
    halvings = 1
    while scale.shrink():
        halvings += 1
    assert (scale.value, halvings) == (1.0, 17)


def test_without_float16_there_is_no_scale():
    scale, loss = LossScale(is_dynamic=False), paddle.to_tensor([3.0])
    scale.count_step()
    assert scale.scaled(loss) is loss and not scale.shrink() and scale.value == 1.0


def test_scaled_gradients_come_back_to_their_size():
    scale, weight = LossScale(is_dynamic=True), paddle.to_tensor([2.0], stop_gradient=False)
    unused = paddle.to_tensor([1.0], stop_gradient=False)
    scale.scaled((weight * 3).sum()).backward()
    assert weight.grad.item() == 3 * INITIAL_SCALE
    scale.unscale([weight, unused])
    assert weight.grad.item() == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_cpu_refuses_what_paddle_would_silently_ignore(dtype):
    require_half_precision("O0", dtype)
    with pytest.raises(ConfigError, match=rf"amp\.level is O1 and amp\.dtype {dtype}, .* on cpu; set amp\.level: O0"):
        require_half_precision("O1", dtype)


def test_off_is_a_context_that_changes_nothing(recwarn):
    with autocast("O0", "float16")():
        assert paddle.matmul(paddle.ones([2, 2]), paddle.ones([2, 2])).dtype == paddle.float32
    assert not [warning for warning in recwarn if "amp" in str(warning.message)]


class HalfNetwork(paddle.nn.Layer):
    """A network whose output was rounded to half precision, as mixed precision would give it on a GPU."""

    def __init__(self, dtype):
        super().__init__()
        self.linear = paddle.nn.Linear(6, 8)
        self.dtype = dtype

    def forward(self, images):
        return paddle.nn.functional.normalize(self.linear(images)).astype(self.dtype)


def train(dtype, *, steps=5):
    """Losses, weights and memory after some steps."""
    paddle.seed(3)
    model = HalfNetwork(dtype)
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal([5, 8]).astype(np.float32)
    memory = ClusterMemory(centroids / np.linalg.norm(centroids, axis=1, keepdims=True), update_hard, 0.2)
    optimizer = adam_with_l2(model, lr=1e-3, weight_decay=5e-4)
    guard = FiniteGuard(None, scale=LossScale(is_dynamic=dtype == "float16"))
    if dtype == "float16":
        guard.scale.value = 256.0  # where a run would come to after some steps that overflow
    losses = []
    for step in range(steps):
        batch = StepBatch(step, np.arange(8), np.repeat(rng.permutation(5)[:4], 2), 0.2)
        images = paddle.to_tensor(rng.standard_normal([8, 6]).astype(np.float32))
        logs = training_step(model, memory, images, batch, optimizer, ise_objective, forward=whole_batch, guard=guard)
        assert {value.dtype for value in logs.values()} == {paddle.float32}
        losses.append(logs["loss"].item())
    assert memory.centroids.dtype == model.linear.weight.dtype == paddle.float32
    return np.array(losses), model.linear.weight.numpy(), memory.centroids.numpy()


@pytest.mark.parametrize(("dtype", "rounding"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_half_precision_features_train_nearly_as_float32_ones(dtype, rounding):
    losses, weights, memory = train("float32")
    half_losses, half_weights, half_memory = train(dtype)
    assert 0 < np.abs(half_losses - losses).max() < 20 * rounding * losses.max()
    assert np.abs(half_weights - weights).max() < 5 * 2e-3  # Adam moves a weight by at most about lr a step
    assert np.abs(half_memory - memory).max() < 20 * rounding


def test_the_scale_of_the_loss_is_exact_where_nothing_rounds(monkeypatch):
    plain = train("float32")
    monkeypatch.setattr(LossScale, "__init__", dynamic_scale(LossScale.__init__))
    scaled = train("float32")
    for one, other in zip(plain, scaled, strict=True):
        np.testing.assert_array_equal(one, other)


def dynamic_scale(real):
    return lambda self, *, is_dynamic: real(self, is_dynamic=True)


def test_milestones_take_the_place_of_every_lr_step_epochs():
    rates = [learning_rate(400 * epoch, milestones=[30, 50], **RECIPE) / 3.5e-4 for epoch in (29, 30, 49, 50, 59, 69)]
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_a_rise_over_epochs_is_constant_within_each():
    """As 3C does it: 0.1 + 0.9 * epoch / 10 in epochs 0 to 9."""
    rise = {"warmup_epochs": 10, "warmup_factor": 0.1, "milestones": [30, 50]}
    for epoch, share in ((0, 0.1), (1, 0.19), (9, 0.91), (10, 1.0), (30, 0.1)):
        for step in (400 * epoch, 400 * epoch + 399):
            assert learning_rate(step, **rise, **RECIPE) == pytest.approx(3.5e-4 * share)
