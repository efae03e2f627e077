import paddle
import pytest

from ppreid.training.optimizer import adam_with_l2, learning_rate

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
