"""Pooling of the last feature maps to one vector per image."""

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


def average_pool(maps: Tensor) -> Tensor:
    """Mean over all positions, the pooling of the published ISE runs.

    Args:
        maps: feature maps, (B, C, H, W).

    Returns:
        (B, C).
    """
    return maps.mean(axis=[2, 3])


def max_pool(maps: Tensor) -> Tensor:
    """Maximum over all positions; where several positions tie, one of them receives the gradient.

    Args:
        maps: feature maps, (B, C, H, W).

    Returns:
        (B, C).
    """
    return F.adaptive_max_pool2d(maps, output_size=1).flatten(1)


class GeMPool(nn.Layer):
    """Generalised mean over all positions, (mean x^p)^(1/p), with one trainable exponent for all channels.

    p = 1 is the mean of the positive parts, p -> infinity the maximum.

    Args:
        p: initial exponent, > 0.
        minimum: values below are raised to it, so that x^p and its gradient with respect to p exist.

    Reference:
        Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019, eq. (3).
    """

    def __init__(self, p: float = 3.0, minimum: float = 1e-6) -> None:
        super().__init__()
        self.minimum = minimum
        self.p = self.create_parameter([1], default_initializer=nn.initializer.Constant(p))

    def forward(self, maps: Tensor) -> Tensor:
        """Pool feature maps, (B, C, H, W) to (B, C)."""
        powers = paddle.clip(maps, min=self.minimum) ** self.p  # (B, C, H, W)
        return powers.mean(axis=[2, 3]) ** (1.0 / self.p)  # (B, C)
