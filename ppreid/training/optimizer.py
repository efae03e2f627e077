"""How gradients become weights: the optimizers of the released recipes, their learning rate, and mixed precision.

Parameters stay float32 and are converted where an operation uses them, so they are their own master weights:
checkpoints and the optimizer are the same with and without mixed precision.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import paddle
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError

OFF = "O0"
Autocast = Callable[[], AbstractContextManager]

INITIAL_SCALE = 2.0**16
GROW_EVERY = 2000  # steps; both numbers are those of paddle.amp.GradScaler


def adam_with_l2(model: nn.Layer, *, lr: float, weight_decay: float) -> paddle.optimizer.Adam:
    """Adam whose weight decay is added to the gradient (L2, not AdamW), on every trainable tensor.

    Args:
        model: its parameters with stop_gradient=False are optimised, batch-norm weights and biases included.
        lr: learning rate; `set_lr` changes it during training.
        weight_decay: L2 coefficient.

    Returns:
        The optimizer: betas 0.9 and 0.999, epsilon 1e-8.
    """
    return paddle.optimizer.Adam(learning_rate=lr, parameters=_trained(model), weight_decay=weight_decay)


def sgd_with_l2(model: nn.Layer, *, lr: float, weight_decay: float, momentum: float) -> paddle.optimizer.Momentum:
    """Gradient descent with momentum whose weight decay is added to the gradient, on every trainable tensor.

    Args:
        model: see `adam_with_l2`; class token and positions of a ViT are included as well.
        lr: learning rate; `set_lr` changes it during training.
        weight_decay: L2 coefficient.
        momentum: share, in [0, 1), of the last direction that is kept.

    Returns:
        The optimizer, without dampening: direction = momentum * direction + gradient, weights -= lr * direction.

    Reference:
        The recipe of TransReID-SSL (Luo et al., 2021) for training without labels.
    """
    return paddle.optimizer.Momentum(lr, momentum, _trained(model), weight_decay=weight_decay)


def _trained(model: nn.Layer) -> list[paddle.Tensor]:
    # the bias of the neck is frozen in the released recipe: it stays out, and with it out of the checkpoint's moments
    return [parameter for parameter in model.parameters() if not parameter.stop_gradient]


def learning_rate(
    step: int,
    *,
    iters: int,
    lr: float,
    lr_step: int,
    lr_gamma: float,
    warmup_iters: int = 0,
    milestones: Sequence[int] = (),
    warmup_epochs: int = 0,
    warmup_factor: float = 0.1,
) -> float:
    """Learning rate of a training step.

    Args:
        step: steps taken since the start of the run, from 0.
        iters: steps per epoch.
        lr: base learning rate.
        lr_step: the rate falls by the factor lr_gamma every lr_step epochs.
        lr_gamma: factor, at most 1.
        warmup_iters: the rate rises linearly to its value over these first steps; 0 is off, as in the released recipe.
        milestones: epochs at which it falls instead; none: every lr_step epochs.
        warmup_epochs: the rate rises linearly to its value over these first epochs, in which it is constant; 0 is off.
        warmup_factor: share of its value in epoch 0.

    Returns:
        lr * lr_gamma ** (epoch // lr_step), or to the number of milestones reached, times the warm-up factors.
    """
    epoch = step // iters
    falls = sum(epoch >= milestone for milestone in milestones) if milestones else epoch // lr_step
    rising = warmup_factor + (1.0 - warmup_factor) * epoch / warmup_epochs if epoch < warmup_epochs else 1.0
    # the first step moves as well: its rate is one share of the ramp, not zero
    warmup = min(1.0, (step + 1) / warmup_iters) if warmup_iters else 1.0
    return lr * lr_gamma**falls * warmup * rising


def autocast(level: str, dtype: str) -> Autocast:
    """A context in which paddle computes in mixed precision.

    Args:
        level: "O0" float32; "O1" convolutions and matrix products in half precision; "O2" everything that can be,
            means and powers too.
        dtype: "float16" or "bfloat16".
    """
    return partial(paddle.amp.auto_cast, enable=level != OFF, level=level, dtype=dtype)


def require_half_precision(level: str, dtype: str) -> None:
    """Refuse a device on which paddle would ignore mixed precision without an error, as it does on a CPU.

    Args:
        level: see `autocast`; "O0" needs nothing.
        dtype: see `autocast`.

    Raises:
        ConfigError: this device cannot do it.
    """
    if level == OFF:
        return
    device = paddle.get_device()
    supported = {"float16": paddle.amp.is_float16_supported, "bfloat16": paddle.amp.is_bfloat16_supported}
    if device == "cpu" or not supported[dtype]():
        raise ConfigError(
            f"amp.level is {level} and amp.dtype {dtype}, but paddle cannot train in {dtype} on {device}; "
            "set amp.level: O0, or another amp.dtype or device"
        )


class LossScale:
    """A factor on the loss that keeps small float16 gradients from vanishing; halved whenever they overflow.

    paddle.amp.GradScaler does the same, but switches itself off on a CPU, where no test could reach it, and keeps to
    itself whether it left a step out.

    Attributes:
        value: the factor, a power of two.
        steps: steps with a finite gradient since it last changed.
        is_dynamic: whether it changes; it stays 1 otherwise.
    """

    def __init__(self, *, is_dynamic: bool) -> None:
        self.is_dynamic = is_dynamic
        self.value = INITIAL_SCALE if is_dynamic else 1.0
        self.steps = 0

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss times the factor."""
        return loss * self.value if self.is_dynamic else loss

    @paddle.no_grad()
    def unscale(self, parameters: Iterable[Tensor]) -> None:
        """Divide the gradients of parameters by the factor, in place."""
        if self.is_dynamic:
            # before the optimizer: its L2 term is added to the gradient, and must not be scaled
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.scale_(1.0 / self.value)

    def shrink(self) -> bool:
        """Halve the factor after an overflow; False if that is not possible."""
        # at 1 float16 overflows without any scaling, so another halving would only hide a diverging run
        if not self.is_dynamic or self.value <= 1.0:
            return False
        self.value, self.steps = self.value / 2, 0
        return True

    def count_step(self) -> None:
        """Note a step with a finite gradient; double the factor after many of them."""
        if self.is_dynamic:
            self.steps += 1
            if self.steps == GROW_EVERY:
                self.value, self.steps = self.value * 2, 0
