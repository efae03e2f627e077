"""Stochastic depth (drop path): in training an image goes without some branches of the network.

Which branches, is decided by numbers that derive from the seed of the run, the step and the place of the image in the
batch. So a resumed run draws what the uninterrupted one does, and a batch that is shared out among processes, or comes
in parts, what it does as a whole.
"""

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import Tensor

_SALT = 0xD40F  # apart from the numbers that batches and images draw with the same seed


def path_scales(draws: Tensor, rates: Sequence[float]) -> Tensor:
    """Factors of the branches of a network, which keep the mean of what a branch gives.

    Args:
        draws: (B, depth, branches) uniform in [0, 1).
        rates: (depth,) probabilities p, in [0, 1), to go without a branch.

    Returns:
        (B, depth, branches): floor(1 - p + draw) / (1 - p), which is 0 with probability p and 1 / (1 - p) otherwise.

    Reference:
        Huang, Sun, Liu, Sedra, Weinberger: Deep Networks with Stochastic Depth, ECCV 2016.
    """
    kept = paddle.to_tensor([1.0 - rate for rate in rates], dtype=draws.dtype).reshape([1, -1, 1])  # (1, depth, 1)
    return paddle.floor(kept + draws) / kept


class StepDraws:
    """The random numbers of one step after the other, a row for each image that this process takes of the batch.

    Rows are given in order, and from the first one again when all were given: parts of a batch get their own rows, and
    the same ones when they pass a second time.

    Args:
        num_draws: K, numbers per image.
        seed: of the run.
        rank: number of this process, which takes the rank-th part of the batch.
        num_ranks: number of processes.
    """

    def __init__(self, num_draws: int, *, seed: int = 0, rank: int = 0, num_ranks: int = 1) -> None:
        self._num_draws, self._seed, self._rank, self._num_ranks = num_draws, seed, rank, num_ranks
        self._rows, self._given = np.zeros((0, num_draws), np.float32), 0

    def start(self, step: int, num_images: int) -> None:
        """Draw for a step.

        Args:
            step: its number since the start of the run.
            num_images: of the whole batch, which all processes share.
        """
        rng = np.random.default_rng([self._seed, step, _SALT])
        rows = rng.random((num_images, self._num_draws), dtype=np.float32)
        share = num_images // self._num_ranks
        self._rows, self._given = rows[self._rank * share : (self._rank + 1) * share], 0

    def take(self, num_images: int) -> Tensor:
        """The next rows, (num_images, K); before the first start they are those of a step 0."""
        if not len(self._rows):
            self.start(0, num_images * self._num_ranks)
        places = (self._given + np.arange(num_images)) % len(self._rows)
        self._given = (self._given + num_images) % len(self._rows)
        return paddle.to_tensor(self._rows[places])
