"""All that keeps a run alive, behind one object with four verbs: start, step_done, epoch_done, finish."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid.base.progress import Stopwatch
from ppreid.base.records import ImageRecord
from ppreid.contracts import Guard
from ppreid.evaluation.ranking import RankingResult
from ppreid.processes.collectives import arrays_from_first, digest, facts_from_first, tensors_from_first
from ppreid.run.checkpoint import Checkpoint, restore
from ppreid.run.checkpoint_set import CheckpointSet
from ppreid.run.folder import BEST, LABELS, LAST, write_labels
from ppreid.run.metrics import MetricsFile
from ppreid.run.opening import OpenRun
from ppreid.run.progress import NO_LABELS, Pace, Progress, Schedule
from ppreid.run.rows import best_row, epoch_line, epoch_row, evaluation_row, history_table

logger = logging.getLogger("ppreid")


GuardOfRun = TypeVar("GuardOfRun", bound=Guard)


class Keeper(Generic[GuardOfRun]):
    """Keeps one run alive.

    Attributes:
        watch: seconds that the stages of the epoch take.
        guard: looks at the numbers of every step.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        *,
        run: OpenRun,
        checkpoint: Checkpoint | None,
        load_weights: Callable[[nn.Layer], None],
        schedule: Schedule,
        pace: Pace,
        checkpoints: CheckpointSet,
        metrics: MetricsFile,
        guard: GuardOfRun,
        report: Callable[[], None] | None = None,
    ) -> None:
        """Take over what a run needs; nothing is written.

        Args:
            records: training images.
            run: its folder, its processes, and what hears signals.
            checkpoint: to go on from; None begins.
            load_weights: puts initial weights into a network, where there is no checkpoint.
            schedule: how long the run is.
            pace: how often it is looked at.
            checkpoints: how it saves.
            metrics: where its numbers go.
            guard: stops it, or leaves a step out, where a number is not finite.
            report: makes its report; None makes none.
        """
        self.watch, self.guard = Stopwatch(), guard
        self._records, self._schedule, self._pace = records, schedule, pace
        self._folder, self._ranks, self._stop = run
        self._checkpoint, self._load_weights = checkpoint, load_weights
        self._checkpoints, self._metrics, self._report = checkpoints, metrics, report
        self._trained: list[Tensor] = []
        self._shown = NO_LABELS  # pseudo labels that labels.csv shows

    def start(
        self,
        model: nn.Layer,
        optimizer: paddle.optimizer.Optimizer,
        evaluate: Callable[..., RankingResult | None],
    ) -> Progress:
        """Bring network and optimizer to where the run begins or goes on.

        A new run is evaluated and saved before its first step: a disk that is full shows itself now.

        Args:
            model: of the run.
            optimizer: of the run.
            evaluate: network to result, which is on rank 0.

        Returns:
            Where the run is.
        """
        self._trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
        checkpoint = self._checkpoint
        if checkpoint is not None:
            restore(checkpoint, model, optimizer)
            self.guard.restore(checkpoint.progress.guard)
            checkpoint.tensors.clear()  # as much memory as network and optimizer again
            self.watch = Stopwatch(checkpoint.progress.seconds)
            sums = {name: paddle.to_tensor(value) for name, value in checkpoint.progress.sums.items()}
            return checkpoint.progress._replace(sums=sums)
        if self._ranks.is_first:
            self._load_weights(model)
        tensors_from_first(model.state_dict().values(), self._ranks)
        progress = Progress(guard=self.guard.state())
        if self._pace.evaluate_epochs:
            with self._stop.interruptible():
                row = self._evaluation_row(evaluate(model, description="before training"), epoch=0)
            progress = progress._replace(history=(row,))
        if self._ranks.is_first:
            for each in progress.history:
                self._metrics.write(**each)
            self._checkpoints.save_last(progress)
        return progress

    def step_done(self, progress: Progress) -> None:
        """Look at a step that is done: losses now and then, a checkpoint where one is due, the end where a signal came.

        Raises:
            TrainingError: a number is not finite, or the processes have come to different weights.
            Interrupted: a signal came; what was done is saved.
        """
        self._stop.request(max(self._ranks.gather(self._stop.requested, "end of a step")))
        is_last, every = progress.steps == self._schedule.iters, self._pace.save_steps
        is_pause = bool(self._stop.requested or (every and progress.steps % every == 0))
        if is_pause or is_last or progress.steps % self._pace.log_steps == 0:
            self.guard.check()
        if is_last:
            # running statistics may differ until `extract_features` takes those of rank 0
            values = [*self._trained, progress.centroids]
            self._ranks.agree("weights and memory", lambda: digest(value.numpy() for value in values))
            # an evaluation takes long, and a signal may end it
            is_pause = bool(self._stop.requested) or self.wants_evaluation(progress)
        self._show_labels(progress)
        if is_pause:
            if self._ranks.is_first:
                now = self._now(progress)
                with self._checkpoints.rescuing(now):
                    self._checkpoints.save_last(now)
            self._stop.check()

    def epoch_done(self, progress: Progress, result: RankingResult | None) -> Progress:
        """Write down an epoch whose steps are all done, and save.

        Args:
            progress: with the epoch under way.
            result: of the evaluation after it, on rank 0; None where none was due.

        Returns:
            Where the run is now.

        Raises:
            Interrupted: a signal came; what was done is saved.
        """
        is_evaluated, history = self.wants_evaluation(progress), progress.history
        if is_evaluated:
            history = (*history, self._evaluation_row(result, epoch=progress.epoch + 1, labels=progress.running))
        reached = self._now(progress)
        after = reached.finished(history)
        if self._ranks.is_first:
            self._show_labels(progress)
            row = epoch_row(reached, self._schedule, self._records)
            logger.info("%s", epoch_line(row, self._schedule.epochs, history[-1] if is_evaluated else None))
            with self._checkpoints.rescuing(reached):
                self._metrics.write(**row)
                if is_evaluated:
                    self._metrics.write(**history[-1])
                self._checkpoints.save_epoch(after, is_best=is_evaluated and best_row(history) is history[-1])
        self.watch = Stopwatch()
        self._stop.check()
        return after

    def finish(self, progress: Progress) -> None:
        """Write summary, table and report of a run that is done; the other processes are not needed for that."""
        if not self._ranks.is_first:
            return
        history = progress.history
        self._metrics.write("summary", last=history[-1] if history else None, best=best_row(history) or None)
        last, best = self._folder / LAST, self._folder / BEST
        if history:
            logger.info("\n%s\nlast and best network: %s, %s", history_table(history), last, best)
        else:
            logger.info("no labelled query and gallery: nothing was evaluated\nlast network: %s", last)
        if self._report:
            with self._stop.interruptible():
                self._report()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage that leaves nothing to save: a signal ends it at once."""
        with self._stop.interruptible(), self.watch.stage(name):
            yield

    def shared(self, compute: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
        """Arrays that one process computes, and that all get; a signal ends it at once."""
        with self._stop.interruptible():
            return arrays_from_first(compute, self._ranks)

    def wants_evaluation(self, progress: Progress) -> bool:
        """Whether an evaluation is due after the epoch under way."""
        every, epoch = self._pace.evaluate_epochs, progress.epoch + 1
        return bool(every) and (epoch % every == 0 or epoch == self._schedule.epochs)

    def _now(self, progress: Progress) -> Progress:
        """With what the guard and the watch know."""
        return progress._replace(guard=self.guard.state(), seconds=self.watch.seconds)

    def _show_labels(self, progress: Progress) -> None:
        """Write labels.csv once the epoch has its first step, when there is something to save if that fails."""
        if self._ranks.is_first and progress.running is not self._shown:
            with self._checkpoints.rescuing(self._now(progress)):
                write_labels(self._folder / LABELS, [record.path for record in self._records], progress.running)
            self._shown = progress.running

    def _evaluation_row(
        self, result: RankingResult | None, *, epoch: int, labels: np.ndarray | None = None
    ) -> dict[str, Any]:
        return facts_from_first(
            lambda: evaluation_row(cast(RankingResult, result), epoch=epoch, labels=labels), self._ranks, "evaluation"
        )
