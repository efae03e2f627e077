"""Where a run is (the one state that the loop passes on, and that a checkpoint holds), and how long it is."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from paddle import Tensor

NOTHING: Mapping[str, Any] = MappingProxyType({})
NO_LABELS, NO_CENTROIDS = np.empty(0, np.int64), np.empty((0, 0), np.float32)


class Progress(NamedTuple):
    """Where a run is, beside network and optimizer. Never changed in place: every step of the loop returns another one.

    No random state is among it: every random number is derived from the seed, the epoch and the image's place in it.

    Attributes:
        epoch: epochs that are finished; training goes on with this one (0-based).
        history: one row per evaluation so far, as in metrics.jsonl.
        previous: (N,) pseudo labels of the last finished epoch, for its comparison with the next; None before that.
        guard: counts of the steps that were left out, and the scale of the loss, see `FiniteGuard.state`.
        labels: (N,) pseudo labels of the epoch under way, -1 for outliers; (0,) between two epochs.
        centroids: (C, D) of the cluster memory now; (0, 0) between two epochs.
        kept: arrays that the objective keeps of the clustering of the epoch under way.
        steps: training steps done in the epoch under way.
        skipped: steps among them that were left out, because a number was not finite.
        sums: of every logged loss over these steps, on the device.
        seconds: that the stages of the epoch took so far.
    """

    epoch: int = 0
    history: tuple[Mapping[str, Any], ...] = ()
    previous: np.ndarray | None = None
    guard: Mapping[str, Any] = NOTHING
    labels: np.ndarray = NO_LABELS
    centroids: "Tensor | np.ndarray" = NO_CENTROIDS
    kept: tuple[np.ndarray, ...] = ()
    steps: int = 0
    skipped: int = 0
    sums: "Mapping[str, Tensor | np.ndarray]" = NOTHING
    seconds: Mapping[str, float] = NOTHING

    @property
    def has_labels(self) -> bool:
        """Whether an epoch is under way: it has pseudo labels, and its steps may go on."""
        return bool(len(self.labels))

    def clustered(self, labels: np.ndarray, centroids: np.ndarray, *kept: np.ndarray) -> "Progress":
        """An epoch begins on these pseudo labels (N,), with these centroids (C, D) and what is kept beside them."""
        return self._replace(labels=labels, centroids=centroids, kept=kept, steps=0, skipped=0, sums=NOTHING)

    def stepped(self, losses: "Mapping[str, Tensor]", centroids: "Tensor") -> "Progress":
        """A step is done with these losses, none if it was left out; the memory has these centroids (C, D) now.

        The sums stay on the device: whoever adds up losses must not wait for it in every step.
        """
        sums = {name: self.sums[name] + value if name in self.sums else value for name, value in losses.items()}
        return self._replace(
            centroids=centroids, steps=self.steps + 1, skipped=self.skipped + (not losses), sums={**self.sums, **sums}
        )

    def finished(self, history: tuple[Mapping[str, Any], ...]) -> "Progress":
        """The epoch under way is done, and these are the evaluations so far."""
        return Progress(self.epoch + 1, history, previous=self.labels, guard=self.guard)

    def means(self) -> dict[str, float]:
        """Mean of every logged loss over the steps done and not left out; empty if there are none."""
        return {name: value.item() / (self.steps - self.skipped) for name, value in self.sums.items()}


class Schedule(NamedTuple):
    """The steps of a run and what changes from step to step, which are counted from its start.

    Attributes:
        epochs: of the run.
        iters: steps of an epoch.
        learning_rate: of a step.
        pli_degree: of a step.
        log_steps: steps between two readings of the losses. Between them nothing waits for the device.
        evaluate_epochs: epochs between two evaluations; 0 where nothing can be evaluated.
    """

    epochs: int
    iters: int
    learning_rate: Callable[[int], float]
    pli_degree: Callable[[int], float]
    log_steps: int = 1
    evaluate_epochs: int = 0

    def steps(self, epoch: int, done: int = 0) -> range:
        """Numbers of the steps of an epoch, from 0, without those that are done."""
        return range(epoch * self.iters + done, (epoch + 1) * self.iters)

    def evaluates(self, epoch: int) -> bool:
        """Whether an evaluation is due after an epoch, from 0; it always is after the last one."""
        every = self.evaluate_epochs
        return bool(every) and ((epoch + 1) % every == 0 or epoch + 1 == self.epochs)
