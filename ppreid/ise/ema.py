"""A twin of the network whose weights are a running average of the network's, for evaluation and perhaps labels."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import paddle
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError

STATISTICS = ("._mean", "._variance")  # paddle counts them among the parameters


class EMATwin:
    """Follows a network through its training.

    Attributes:
        network: the twin; nothing in it has a gradient.

    Reference:
        NCPLR's mean teacher and DCMIP, whose released codes average parameters and let a forward pass fill the running
        statistics. Averaging these as well costs no pass, and nobody has published it.
    """

    def __init__(
        self,
        model: nn.Layer,
        network: nn.Layer,
        *,
        decay: float,
        buffers: Literal["forward", "average"] = "forward",
        parts: int = 1,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Follow `model` from its next step on; `start` makes both equal.

        Args:
            model: that is trained.
            network: of the same architecture; layers that features do not need may be missing.
            decay: weight of the twin's own values in a step, within [0, 1).
            buffers: where its running statistics come from: forward, a pass over the images of each step in training
                mode; average, those of `model`, averaged like the weights.
            parts: in which the images of a step go through the network; as there, the first one moves statistics.
            autocast: context in which the network computes.

        Raises:
            ConfigError: the decay is out of range.
        """
        if not 0.0 <= decay < 1.0:
            raise ConfigError(f"ema.decay is {decay}; the weight of the twin's own values lies within [0, 1)")
        self.network = network
        self._decay, self._buffers, self._parts, self._autocast = decay, buffers, parts, autocast
        theirs, own = model.state_dict(), network.state_dict()
        pairs = [(name.endswith(STATISTICS), value, theirs[name]) for name, value in own.items()]
        self._parameters = [(value, other) for is_statistic, value, other in pairs if not is_statistic]
        self._statistics = [(value, other) for is_statistic, value, other in pairs if is_statistic]
        for value, _ in self._parameters:
            value.stop_gradient = True
        network.train()

    @paddle.no_grad()
    def start(self) -> None:
        """Become a copy of the network."""
        for own, other in (*self._parameters, *self._statistics):
            paddle.assign(other, own)

    @paddle.no_grad()
    def follow(self, images: Tensor) -> None:
        """Take over a share of a step that is done.

        Args:
            images: (B, 3, H, W) of the step.
        """
        averaged = self._parameters
        if self._buffers == "average":
            averaged = [*averaged, *self._statistics]
        else:
            # as a mean teacher does: the pass comes before the weights of this step arrive
            with self._autocast():
                self.network(paddle.split(images, self._parts)[0] if self._parts > 1 else images)
        for own, other in averaged:
            # frozen parameters too, which changes nothing as long as they are frozen from the start
            paddle.assign(self._decay * own + (1.0 - self._decay) * other, own)
