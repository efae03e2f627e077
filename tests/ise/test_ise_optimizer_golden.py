import numpy as np
import paddle
import pytest


def test_adam_with_l2_and_step_decay_equals_released_training(golden):
    """The optimizer of the recipe: L2 joins the gradient (not AdamW), so a zero gradient still moves a weight."""
    arrays, meta = golden("adam_l2_steplr")
    parameter = paddle.create_parameter([4], "float32")
    parameter.set_value(np.array(meta["p0"], dtype=np.float32))
    schedule = paddle.optimizer.lr.StepDecay(meta["lr"], step_size=meta["step_size"], gamma=meta["gamma"])
    optimizer = paddle.optimizer.Adam(schedule, parameters=[parameter], weight_decay=meta["weight_decay"])
    for gradient, expected, rate in zip(arrays["grads"], arrays["params"], arrays["lrs"], strict=True):
        assert optimizer.get_lr() == pytest.approx(rate, rel=1e-9)
        (parameter * paddle.to_tensor(gradient)).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
        np.testing.assert_allclose(parameter.numpy(), expected, atol=1e-6)
