"""Two variants of batch normalisation: with a frozen bias, and ghost batch normalisation.

Ghost batch normalisation computes the statistics of several small batches inside one large batch. The published ISE
numbers come from 4 GPUs with 64 images each: every GPU normalised its own 64 images, and only the running statistics
of the first GPU survived. One device with 256 images is a different normaliser; with 4 chunks it is the same again.

Chunks are interleaved: row r of the batch belongs to chunk r % num_chunks. The chunk index then sits directly before
the channels in memory, so a reshape turns chunks into channels, and one call of the ordinary batch normalisation
serves all chunks. `interleave_chunks` and `restore_chunks` translate from and to contiguous chunks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn

from ppreid.base.errors import ConfigError


def interleave_chunks(rows: Tensor, num_chunks: int) -> Tensor:
    """Reorder contiguous chunks so that row r belongs to chunk r % num_chunks.

    Args:
        rows: (B, ...), where rows c*B/num_chunks to (c+1)*B/num_chunks - 1 are chunk c.
        num_chunks: number of chunks.

    Returns:
        (B, ...), the same rows interleaved.

    Raises:
        ConfigError: B is not a multiple of num_chunks.
    """
    batch_size = rows.shape[0]
    if batch_size % num_chunks != 0:
        raise ConfigError(
            f"a training batch of {batch_size} images cannot be split into model.bn_chunks={num_chunks} equal chunks; "
            f"choose a batch size that is a multiple of {num_chunks}, or another model.bn_chunks"
        )
    return _swap_leading_axes(rows, num_chunks, batch_size // num_chunks)


def restore_chunks(rows: Tensor, num_chunks: int) -> Tensor:
    """Undo `interleave_chunks`.

    Args:
        rows: (B, ...), where row r belongs to chunk r % num_chunks.
        num_chunks: number of chunks.

    Returns:
        (B, ...), the same rows with contiguous chunks.
    """
    return _swap_leading_axes(rows, rows.shape[0] // num_chunks, num_chunks)


def _swap_leading_axes(rows: Tensor, outer: int, inner: int) -> Tensor:
    grid = rows.reshape([outer, inner, -1])
    return grid.transpose([1, 0, 2]).reshape(rows.shape)


class FrozenBiasBatchNorm(nn.BatchNorm1D):
    """Batch normalisation of vectors (B, C) whose bias is in the state dict but not trained; its weight is trained.

    Args:
        num_features: C.

    Note:
        Paddle (2.6 and 3.3) computes no gradient for the weight when the bias stops gradients, so a frozen bias
        would silently freeze the weight too. In training a copy of the bias takes the gradient, which is dropped.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, bias_attr=ParamAttr(trainable=False))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise vectors, (B, C) to (B, C)."""
        if not self.training:
            return nn.BatchNorm1D.forward(self, x)  # paddle 2.6 cannot export super()
        bias = self.bias.detach()
        bias.stop_gradient = False  # a leaf of its own: self.bias receives nothing
        return F.batch_norm(
            x,
            self._mean,
            self._variance,
            self.weight,
            bias,
            training=True,
            momentum=self._momentum,
            epsilon=self._epsilon,
        )


class GhostBatchNorm(nn.Layer):
    """Batch normalisation that computes training statistics per interleaved chunk of the batch.

    It takes over parameters and buffers of an ordinary layer under the same names, so state dicts are
    interchangeable; in evaluation it is that layer.

    Args:
        norm: the nn.BatchNorm1D or nn.BatchNorm2D to take over.
        num_chunks: number of chunks per training batch.

    Reference:
        Hoffer, Hubara, Soudry: Train longer, generalize better, NeurIPS 2017, algorithm 1.

    Note:
        Only the first chunk updates the running statistics, as only the first GPU's survive in nn.DataParallel.
        The running variance is what paddle's batch_norm keeps: on the CPU the biased variance of the chunk.
    """

    def __init__(self, norm: nn.BatchNorm1D | nn.BatchNorm2D, num_chunks: int) -> None:
        super().__init__()
        self.num_chunks = num_chunks
        self.weight = norm.weight
        self.bias = norm.bias
        self._mean = norm._mean
        self._variance = norm._variance
        self._momentum = norm._momentum
        self._epsilon = norm._epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps or vectors.

        Args:
            x: (B, C) or (B, C, H, W); in training, rows interleaved by `interleave_chunks`.

        Returns:
            Like x.
        """
        if not self.training:
            return F.batch_norm(
                x, self._mean, self._variance, self.weight, self.bias, training=False, epsilon=self._epsilon
            )
        with paddle.amp.auto_cast(enable=False):  # the statistics stay float32, whatever x is
            return self._normalise_chunks(x)

    def _normalise_chunks(self, x: Tensor) -> Tensor:
        chunks, channels = self.num_chunks, x.shape[1]
        running_mean = paddle.tile(self._mean, [chunks])  # (num_chunks * C,)
        running_variance = paddle.tile(self._variance, [chunks])
        bias = paddle.tile(self.bias, [chunks])
        bias.stop_gradient = False  # also where self.bias is frozen, see FrozenBiasBatchNorm
        normalised = F.batch_norm(
            x.reshape([-1, chunks * channels, *x.shape[2:]]),  # (B / num_chunks, num_chunks * C, ...)
            running_mean,
            running_variance,
            paddle.tile(self.weight, [chunks]),
            bias,
            training=True,
            momentum=self._momentum,
            epsilon=self._epsilon,
        )
        with paddle.no_grad():
            # the first C entries are chunk 0; assign copies on the device
            paddle.assign(running_mean[:channels], self._mean)
            paddle.assign(running_variance[:channels], self._variance)
        return normalised.reshape(x.shape)


def use_ghost_batch_norm(model: nn.Layer, num_chunks: int) -> None:
    """Replace every batch normalisation inside a model by a `GhostBatchNorm`, in place.

    Args:
        model: any model; its parameters, their names and values stay.
        num_chunks: number of chunks per training batch.
    """
    for parent in model.sublayers(include_self=True):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1D | nn.BatchNorm2D):
                setattr(parent, name, GhostBatchNorm(child, num_chunks))


def remember_running_statistics(model: nn.Layer) -> Callable[[], None]:
    """Copy the running means and variances of a model.

    Args:
        model: any model.

    Returns:
        A function that puts them back.
    """
    norms = [layer for layer in model.sublayers(include_self=True) if isinstance(layer, _NORMS)]
    copies = [(value, value.clone()) for norm in norms for value in (norm._mean, norm._variance)]

    @paddle.no_grad()
    def put_back() -> None:
        for value, copy in copies:
            paddle.assign(copy, value)

    return put_back


@contextmanager
def running_statistics_kept(model: nn.Layer) -> Iterator[None]:
    """Let training passes inside the block leave running means and variances as they are, NaN included.

    Args:
        model: any model.
    """
    put_back = remember_running_statistics(model)
    try:
        yield
    finally:
        put_back()


_NORMS = (nn.BatchNorm1D, nn.BatchNorm2D, GhostBatchNorm)
