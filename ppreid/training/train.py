"""One epoch of training: the inner loop of ISE."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid.base.progress import progress
from ppreid.failpoint import failpoint
from ppreid.training.finite import FiniteGuard, StepBatch
from ppreid.training.step import Forward, Memory, training_step, whole_batch


class Schedule(NamedTuple):
    """The steps of one epoch and what changes from step to step.

    Attributes:
        steps: numbers of the steps, counted from the start of the run.
        learning_rate: of a step.
        pli_degree: of a step.
    """

    steps: range
    learning_rate: Callable[[int], float]
    pli_degree: Callable[[int], float]

    def last(self) -> dict[str, float]:
        """Values of the last step, for the log."""
        return {"lr": self.learning_rate(self.steps[-1]), "pli_degree": self.pli_degree(self.steps[-1])}


class EpochProgress:
    """How far an epoch is.

    Attributes:
        steps: steps done in this epoch.
        sums: of every logged loss over these steps, on the device.
        skipped: how many of the steps were left out, because a number was not finite.
    """

    def __init__(self, steps: int = 0, sums: Mapping[str, np.ndarray] | None = None, skipped: int = 0) -> None:
        """Start an epoch, or go on with one.

        Args:
            steps: steps done.
            sums: of the losses over these steps.
            skipped: how many of the steps were left out.
        """
        self.steps = steps
        self.sums = {name: paddle.to_tensor(value) for name, value in (sums or {}).items()}
        self.skipped = skipped

    def count(self, losses: Mapping[str, Tensor]) -> None:
        """Add a step with these losses; none if it was left out."""
        self.steps += 1
        self.skipped += not losses
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        """Mean of every logged loss over the steps done and not left out; empty if there are none."""
        return {name: value.item() / (self.steps - self.skipped) for name, value in self.sums.items()}


def train_epoch(
    model: nn.Layer,
    memory: Memory,
    batches: Iterable[tuple[paddle.Tensor, np.ndarray]],
    labels: np.ndarray,
    optimizer: paddle.optimizer.Optimizer,
    objective: Callable[..., Any],
    schedule: Schedule,
    done: EpochProgress,
    *,
    guard: FiniteGuard,
    forward: Forward = whole_batch,
    log_every: int,
    pause: Callable[[], bool] = lambda: False,
    description: str = "train",
) -> None:
    """Train on the pseudo labels of one epoch (paper, sections 3.2 to 3.4), to its end or to a pause.

    Args:
        model: maps images (B, 3, H, W) to unit features (B, D).
        memory: centroids (C, D); updated once per step, here and nowhere else.
        batches: of the steps that are left: images (B, 3, H, W) and their row numbers (B,) in the data set.
        labels: (N,) cluster of every row, -1 for outliers (which no batch contains).
        optimizer: over the parameters of `model`.
        objective: (features (B, D), labels (B,), centroids (C, D), degree) -> LossTerms.
        schedule: the steps of this epoch, with their learning rates and PLI degrees.
        done: how far the epoch is; moved on by every step.
        guard: looks for numbers that are not finite.
        forward: from images to features, see `step.py`.
        log_every: steps between two readings of the losses. Between them nothing waits for the device.
        pause: asked after every step whether to return; a call with the same arguments goes on.
        description: for the progress display.

    Raises:
        TrainingError: a loss or a gradient is not finite, and the step cannot be left out.
    """
    model.train()
    steps = schedule.steps[done.steps :]
    for step, (images, rows) in zip(steps, progress(batches, total=len(steps), description=description), strict=True):
        optimizer.set_lr(schedule.learning_rate(step))
        batch, degree = StepBatch(step, rows, labels[rows]), schedule.pli_degree(step)
        losses = training_step(model, memory, images, batch, optimizer, objective, degree, forward=forward, guard=guard)
        done.count(losses)
        failpoint("step", step + 1)
        is_paused = pause()
        if is_paused or done.steps % log_every == 0 or step == steps[-1]:
            guard.check()
        if is_paused:
            return
