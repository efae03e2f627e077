"""One training step: features, loss, gradient, weights, memory."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError
from ppreid.contracts import Memory, Objective, StepBatch
from ppreid.models.batch_norm import remember_running_statistics, running_statistics_kept
from ppreid.models.reid_net import AUXILIARY
from ppreid.processes.collectives import batch_of_all, sum_gradients
from ppreid.processes.ranks import Ranks
from ppreid.training.finite import FiniteGuard
from ppreid.training.optimizer import Autocast

Backward = Callable[[Tensor], None]
# (model, images (B, 3, H, W)) -> features (B', D) of the whole batch, detached, and what carries their gradient on to
# the weights. The graph is cut at the features, so that images may reach them in parts.
Forward = Callable[[nn.Layer, Tensor], tuple[Tensor, Backward]]


def training_step(
    model: nn.Layer,
    memory: Memory,
    images: Tensor,
    batch: StepBatch,
    optimizer: paddle.optimizer.Optimizer,
    objective: Objective,
    *,
    guard: FiniteGuard,
    forward: Forward | None = None,
) -> dict[str, Tensor]:
    """Train on one batch (paper, sections 3.2 to 3.4).

    Args:
        model: maps images (B, 3, H, W) to unit features (B, D).
        memory: centroids (C, D); updated here and nowhere else.
        images: (B, 3, H, W).
        batch: number of the step; record numbers, clusters and cameras of its images; degree of the PLI.
        optimizer: over the parameters of `model`.
        objective: (features (B, D), labels (B,), centroids (C, D), degree, batch) -> LossTerms.
        guard: stops the run, or leaves the step out, where a number is not finite.
        forward: another way from images to features, see `micro_batches` and `all_ranks`; None: the network, once.

    Returns:
        The losses by name, detached, on the device; empty if the step was left out, which leaves weights, running
        statistics, optimizer and memory as they were.

    Raises:
        TrainingError: a number is not finite.
    """
    start_draws(model, batch.step, len(batch.indices), batch.camids)
    # before the first pass, because normalisation in training moves its statistics whether or not the step counts
    undo_statistics = remember_running_statistics(model) if guard.decides_at_once else None
    if forward is None:
        output = model(images)  # (B, D)
        features, backward = output.detach(), output.backward
    else:
        features, backward = forward(model, images)
    features.stop_gradient = False
    terms = objective(features, batch.labels, memory.centroids, batch.degree, batch=batch)
    guard.scale.scaled(terms.total).backward()  # to the features
    backward(features.grad)  # to the weights
    # sums, since a single NaN or infinity in a tensor shows in its sum, and one scalar each is read later
    numbers = {"features": features.sum(), **terms.logs, "loss": terms.total, "gradient": _sum_of_gradients(model)}
    losses: dict[str, Tensor] = {}
    if guard.accepts(batch, numbers):
        guard.scale.unscale(model.parameters())
        optimizer.step()
        # after the gradient: supports and losses of a step see the memory of the step before, as in the released code
        memory.update(terms.memory_features, terms.memory_labels, batch.of_rows(terms.memory_rows))
        losses = terms.logs
    elif undo_statistics:
        undo_statistics()
    optimizer.clear_grad()
    return losses


def start_draws(model: nn.Layer, step: int, num_images: int, camids: np.ndarray | None = None) -> None:
    """Let a network draw for a training step; nothing where it draws nothing and looks at no camera.

    Args:
        model: a ReIDNet, or any other network.
        step: its number since the start of the run.
        num_images: of the whole batch.
        camids: (num_images,) their cameras.
    """
    draws, cameras = getattr(model, "draws", None), getattr(model, "cameras", None)
    if draws is not None:
        draws.start(step, num_images)
    if cameras is not None:
        cameras.start(step, camids)


def whole_batch(model: nn.Layer, images: Tensor, *, autocast: Autocast = nullcontext) -> tuple[Tensor, Backward]:
    """Features of a batch in one pass.

    Args:
        model: images to features (B, D).
        images: (B, 3, H, W).
        autocast: context in which the model computes.

    Returns:
        The features (B, D) float32, detached, and the function that carries their gradient to the weights.
    """
    with autocast():
        features = model(images)
    # distances and losses lose their last neighbours in half precision; only the network may compute in it
    features = features.astype("float32")
    return features.detach(), features.backward


def micro_batches(
    model: nn.Layer, images: Tensor, *, parts: int, autocast: Autocast = nullcontext
) -> tuple[Tensor, Backward]:
    """Features of a batch in several passes that need memory for one part each: gradient accumulation.

    The first round of passes gives all features, so that the loss sees the whole batch; the second repeats each pass
    and carries its rows of the gradient to the weights, where they add up. It is the same computation as
    `whole_batch`, with a forward pass more.

    Args:
        model: images to features; in training, it normalises each part by itself.
        images: (B, 3, H, W).
        parts: contiguous parts of equal size; 1 is `whole_batch`.
        autocast: context in which the model computes.

    Returns:
        As `whole_batch`. The running statistics of the batch normalisation move once, by the first part.

    Raises:
        ConfigError: B is not a multiple of `parts`.
    """
    if parts == 1:
        return whole_batch(model, images, autocast=autocast)
    if images.shape[0] % parts:
        raise ConfigError(
            f"a training batch of {images.shape[0]} images cannot be split into batch.accumulate={parts} equal parts; "
            "choose another batch.accumulate"
        )
    images_of_part = paddle.split(images, parts)
    with paddle.no_grad():
        # the first part alone moves the statistics: the released code keeps those of the first of its GPUs
        rows = [whole_batch(model, images_of_part[0], autocast=autocast)[0]]
        with running_statistics_kept(model):
            rows += [whole_batch(model, part, autocast=autocast)[0] for part in images_of_part[1:]]

    def backward(gradient: Tensor) -> None:
        # each graph is built again and dropped at once: memory for one part is the point of the parts
        with running_statistics_kept(model):
            for part, gradient_of_part in zip(images_of_part, paddle.split(gradient, parts), strict=True):
                _, backward_of_part = whole_batch(model, part, autocast=autocast)
                backward_of_part(gradient_of_part)

    return paddle.concat(rows), backward


def all_ranks(model: nn.Layer, images: Tensor, *, own: Forward, ranks: Ranks) -> tuple[Tensor, Backward]:
    """Features of a batch whose images are shared out among the processes of a run.

    Every rank sees the features of the whole batch, so each computes the loss of the whole batch, and makes the same
    update of weights and memory. Its gradient flows back through its own images only; the sum over the ranks is the
    gradient of the whole batch.

    Args:
        model: images to features (B, D); in training, it normalises the images of this rank by themselves.
        images: (B / ranks.count, 3, H, W), the share of this rank.
        own: how these become features.
        ranks: the processes.

    Returns:
        As `whole_batch`, for the whole batch in the order of the ranks.
    """
    features, backward_own = own(model, images)  # (b, D)
    share = slice(ranks.rank * features.shape[0], (ranks.rank + 1) * features.shape[0])

    def backward(gradient: Tensor) -> None:
        # every rank has the gradient of the whole batch; its own rows are those that its images can answer for
        backward_own(gradient[share])
        # what the objective calls has the gradient of the whole batch already, from the loss that every rank computed
        sum_gradients([each for name, each in model.named_parameters() if not name.startswith(AUXILIARY)], ranks)

    return batch_of_all(features, ranks), backward


def _sum_of_gradients(model: nn.Layer) -> Tensor:
    """A scalar that is finite if all gradients are."""
    return paddle.add_n([parameter.grad.sum() for parameter in model.parameters() if parameter.grad is not None])
