"""One epoch of training: the inner loop of ISE."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import nn

from ppreid.engine.step import Forward, Memory, training_step, whole_batch
from ppreid.errors import TrainingError
from ppreid.failpoint import failpoint
from ppreid.progress import progress


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
    """

    def __init__(self, steps: int = 0, sums: Mapping[str, np.ndarray] | None = None) -> None:
        """Start an epoch, or go on with one.

        Args:
            steps: steps done.
            sums: of the losses over these steps.
        """
        self.steps = steps
        self.sums = {name: paddle.to_tensor(value) for name, value in (sums or {}).items()}

    def means(self) -> dict[str, float]:
        """Mean of every logged loss over the steps done."""
        return {name: value.item() / self.steps for name, value in self.sums.items()}


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
        forward: from images to features, see `step.py`.
        log_every: steps between two readings of the losses. Between them nothing waits for the device.
        pause: asked after every step whether to return; a call with the same arguments goes on.
        description: for the progress display.

    Raises:
        TrainingError: a loss is not finite.
    """
    model.train()
    steps = schedule.steps[done.steps :]
    for step, (images, rows) in zip(steps, progress(batches, total=len(steps), description=description), strict=True):
        optimizer.set_lr(schedule.learning_rate(step))
        degree = schedule.pli_degree(step)
        losses = training_step(model, memory, images, labels[rows], optimizer, objective, degree, forward=forward)
        for name, value in losses.items():
            done.sums[name] = done.sums[name] + value if name in done.sums else value
        done.steps += 1
        failpoint("step", step + 1)
        is_paused = pause()
        if is_paused or done.steps % log_every == 0 or step == steps[-1]:
            _check_finite(done.sums, step)
        if is_paused:
            return


def _check_finite(sums: dict[str, paddle.Tensor], step: int) -> None:
    """Stop when a loss became NaN or infinite since the start of the epoch (a sum never recovers)."""
    broken = [name for name, value in sums.items() if not math.isfinite(value.item())]
    if broken:
        raise TrainingError(
            f"{', '.join(broken)} became NaN or infinite at or shortly before step {step}; the last checkpoint is from "
            "before that. Lower solver.lr or raise solver.warmup_iters, then --resume"
        )
