"""The optimizer of the released recipe and its learning rate."""

import paddle
from paddle import nn


def adam_with_l2(model: nn.Layer, *, lr: float, weight_decay: float) -> paddle.optimizer.Adam:
    """Adam whose weight decay is added to the gradient (L2, not AdamW), on every trainable tensor.

    Args:
        model: its parameters with stop_gradient=False are optimised, batch-norm weights and biases included.
        lr: learning rate; `set_lr` changes it during training.
        weight_decay: L2 coefficient.

    Returns:
        The optimizer: betas 0.9 and 0.999, epsilon 1e-8.
    """
    # the bias of the neck is frozen in the released recipe: it stays out, and with it out of the checkpoint's moments
    parameters = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    return paddle.optimizer.Adam(learning_rate=lr, parameters=parameters, weight_decay=weight_decay)


def learning_rate(step: int, *, iters: int, lr: float, lr_step: int, lr_gamma: float, warmup_iters: int = 0) -> float:
    """Learning rate of a training step.

    Args:
        step: steps taken since the start of the run, from 0.
        iters: steps per epoch.
        lr: base learning rate.
        lr_step: the rate falls by the factor lr_gamma every lr_step epochs.
        lr_gamma: factor, at most 1.
        warmup_iters: the rate rises linearly to its value over these first steps; 0 is off, as in the released recipe.

    Returns:
        lr * lr_gamma ** (epoch // lr_step), times the warm-up factor.
    """
    # the first step moves as well: its rate is one share of the ramp, not zero
    warmup = min(1.0, (step + 1) / warmup_iters) if warmup_iters else 1.0
    return lr * lr_gamma ** (step // iters // lr_step) * warmup
