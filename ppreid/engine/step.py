"""One training step: features, loss, gradient, weights, memory."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid.errors import ConfigError
from ppreid.models.batch_norm import running_statistics_kept

Backward = Callable[[Tensor], None]
# (model, images (B, 3, H, W)) -> features (B', D) of the whole batch, a leaf whose gradient `Backward` carries on to
# the weights. The graph is cut at the features, so that images may reach them in parts.
Forward = Callable[[nn.Layer, Tensor], tuple[Tensor, Backward]]


class Memory(Protocol):
    """What a step needs of a cluster memory."""

    centroids: Tensor

    def update(self, features: Tensor, labels: np.ndarray) -> None:
        """Move the centroids of the classes in `labels` (M,) by the rows of `features` (M, D)."""


def training_step(
    model: nn.Layer,
    memory: Memory,
    images: Tensor,
    labels: np.ndarray,
    optimizer: paddle.optimizer.Optimizer,
    objective: Callable[..., Any],
    degree: float,
    *,
    forward: Forward,
) -> dict[str, Tensor]:
    """Train on one batch (paper, sections 3.2 to 3.4).

    Args:
        model: maps images (B, 3, H, W) to unit features (B, D).
        memory: centroids (C, D); updated here and nowhere else.
        images: (B, 3, H, W).
        labels: (B,) clusters, 0..C-1, of the rows that `forward` gives.
        optimizer: over the parameters of `model`.
        objective: (features (B, D), labels (B,), centroids (C, D), degree) -> LossTerms.
        degree: of the PLI.
        forward: `whole_batch`, or another way from images to features.

    Returns:
        The losses by name, detached, on the device.
    """
    features, backward = forward(model, images)  # (B, D)
    terms = objective(features, labels, memory.centroids, degree)
    terms.total.backward()
    backward(features.grad)
    optimizer.step()
    optimizer.clear_grad()
    memory.update(terms.memory_features, terms.memory_labels)
    return terms.logs


def whole_batch(model: nn.Layer, images: Tensor) -> tuple[Tensor, Backward]:
    """Features of a batch in one pass.

    Args:
        model: images to features (B, D).
        images: (B, 3, H, W).

    Returns:
        The features, a leaf, and the function that carries their gradient to the weights.
    """
    features = model(images)
    return _leaf(features), features.backward


def micro_batches(model: nn.Layer, images: Tensor, *, parts: int) -> tuple[Tensor, Backward]:
    """Features of a batch in several passes that need memory for one part each: gradient accumulation.

    The first round of passes gives all features, so that the loss sees the whole batch; the second repeats each pass
    and carries its rows of the gradient to the weights, where they add up. It is the same computation as
    `whole_batch`, done nearly one and a half times.

    Args:
        model: images to features; in training, it normalises each part by itself.
        images: (B, 3, H, W).
        parts: contiguous parts of equal size; 1 is `whole_batch`.

    Returns:
        As `whole_batch`. The running statistics of the batch normalisation move once, by the first part.

    Raises:
        ConfigError: B is not a multiple of `parts`.
    """
    if parts == 1:
        return whole_batch(model, images)
    if images.shape[0] % parts:
        raise ConfigError(
            f"a training batch of {images.shape[0]} images cannot be split into batch.accumulate={parts} equal parts; "
            "choose another batch.accumulate"
        )
    images_of_part = paddle.split(images, parts)
    with paddle.no_grad():
        rows = [model(images_of_part[0])]
        with running_statistics_kept(model):
            rows += [model(part) for part in images_of_part[1:]]

    def backward(gradient: Tensor) -> None:
        with running_statistics_kept(model):
            for part, gradient_of_part in zip(images_of_part, paddle.split(gradient, parts), strict=True):
                model(part).backward(gradient_of_part)

    return _leaf(paddle.concat(rows)), backward


def _leaf(features: Tensor) -> Tensor:
    """The same rows (B, D) as the start of a graph of their own."""
    features = features.detach()
    features.stop_gradient = False
    return features
