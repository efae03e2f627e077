"""All that keeps a run alive, behind one object with four verbs: start, step_done, epoch_done, finish."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from typing import Any, Generic, TypeVar, cast

import numpy as np
import paddle
from paddle import nn

from ppreid.base.progress import Stopwatch
from ppreid.base.records import ImageRecord
from ppreid.contracts import Guard, Twin
from ppreid.evaluation.ranking import RankingResult
from ppreid.processes.collectives import arrays_from_first, digest, facts_from_first, tensors_from_first
from ppreid.run.checkpoint import restore
from ppreid.run.checkpoint_set import CheckpointSet
from ppreid.run.folder import BEST, LABELS, LAST, write_labels
from ppreid.run.metrics import MetricsFile
from ppreid.run.opening import OpenRun
from ppreid.run.progress import NO_LABELS, Progress, Schedule
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
        run: OpenRun,
        records: Sequence[ImageRecord],
        *,
        schedule: Schedule,
        checkpoints: CheckpointSet,
        metrics: MetricsFile,
        guard: GuardOfRun,
        by_colour: Callable[[], Mapping[str, RankingResult]] = dict,
        twin: Twin | None = None,
    ) -> None:
        """Take over what a run needs; nothing is written.

        Args:
            run: its folder, its processes, and what hears signals.
            records: training images.
            schedule: how long it is, and how often it is looked at.
            checkpoints: what it goes on from, and how it saves.
            metrics: where its numbers go.
            guard: stops it, or leaves a step out, where a number is not finite.
            by_colour: what colour alone reaches on query and gallery, by name; asked once, before training.
            twin: starts as a copy of the network, or goes on where it was.
        """
        self.watch, self.guard = Stopwatch(), guard
        self._run, self._records, self._schedule = run, records, schedule
        self._checkpoints, self._metrics, self._by_colour, self._twin = checkpoints, metrics, by_colour, twin
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
        if (checkpoint := self._checkpoints.beginning) is not None:
            restore(checkpoint, model, optimizer, self._twin and self._twin.network)
            self.guard.restore(checkpoint.progress.guard)
            checkpoint.tensors.clear()  # as much memory as network and optimizer again
            self.watch = Stopwatch(checkpoint.progress.seconds)
            sums = {name: paddle.to_tensor(value) for name, value in checkpoint.progress.sums.items()}
            return checkpoint.progress._replace(sums=sums)
        tensors_from_first(model.state_dict().values(), self._run.ranks)
        if self._twin:
            self._twin.start()
        progress = Progress(guard=self.guard.state())
        if self._schedule.evaluate_epochs:
            with self._run.stop.interruptible():
                result = evaluate(model, description="before training")
                row = self._evaluation_row(result, epoch=0, beside=self._by_colour)
            progress = progress._replace(history=(row,))
        if self._run.ranks.is_first:
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
        self._run.stop.request(max(self._run.ranks.gather(self._run.stop.requested, "end of a step")))
        is_last = progress.steps == self._schedule.iters
        is_pause = bool(self._run.stop.requested) or self._checkpoints.is_due(progress.steps)
        if is_pause or is_last or progress.steps % self._schedule.log_steps == 0:
            self.guard.check()
        if is_last:
            arrays = chain(self._checkpoints.trained(), (np.asarray(each) for each in [progress.centroids]))
            self._run.ranks.agree("weights and memory", lambda: digest(arrays))
            # an evaluation takes long, and a signal may end it
            is_pause = bool(self._run.stop.requested) or self._schedule.evaluates(progress.epoch)
        self._show_labels(progress)
        if is_pause:
            if self._run.ranks.is_first:
                now = self._now(progress)
                with self._checkpoints.rescuing(now):
                    self._checkpoints.save_last(now)
            self._run.stop.check()

    def epoch_done(
        self, progress: Progress, result: RankingResult | None = None, twin: RankingResult | None = None
    ) -> Progress:
        """Write down an epoch whose steps are all done, and save.

        Args:
            progress: with the epoch under way.
            result: of the evaluation after it, on rank 0; None where none was due.
            twin: the same of the network that follows, if there is one.

        Returns:
            Where the run is now.

        Raises:
            Interrupted: a signal came; what was done is saved.
        """
        is_evaluated, history = self._schedule.evaluates(progress.epoch), progress.history
        if is_evaluated:
            beside, epoch = {"twin": twin} if twin else {}, progress.epoch + 1
            row = self._evaluation_row(result, epoch=epoch, labels=progress.labels, beside=lambda: beside)
            history = (*history, row)
        reached = self._now(progress)
        after = reached.finished(history)
        if self._run.ranks.is_first:
            self._show_labels(progress)
            row = epoch_row(reached, self._schedule, self._records)
            logger.info("%s", epoch_line(row, self._schedule, history[-1] if is_evaluated else None))
            with self._checkpoints.rescuing(reached):
                self._metrics.write(**row)
                if is_evaluated:
                    self._metrics.write(**history[-1])
                self._checkpoints.save_epoch(after, is_best=is_evaluated and best_row(history) is history[-1])
        self.watch = Stopwatch()
        self._run.stop.check()
        return after

    def finish(self, progress: Progress) -> None:
        """Write summary and table of a run that is done; the other processes are not needed for that."""
        if not self._run.ranks.is_first:
            return
        history = progress.history
        self._metrics.write("summary", last=history[-1] if history else None, best=best_row(history) or None)
        last, best = self._run.folder / LAST, self._run.folder / BEST
        if history:
            logger.info("\n%s\nlast and best network: %s, %s", history_table(history), last, best)
        else:
            logger.info("no labelled query and gallery: nothing was evaluated\nlast network: %s", last)

    @contextmanager
    def stage(self, name: str, *, at_once: bool = True) -> Iterator[None]:
        """Time a stage. A signal ends it at once if it leaves nothing to save; otherwise the stage asks by itself."""
        with self._run.stop.interruptible() if at_once else nullcontext(), self.watch.stage(name):
            yield

    def shared(self, compute: Callable[..., Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
        """Arrays that one process computes, timed by the stopwatch it is given, and that all get.

        A signal ends it at once.
        """
        with self._run.stop.interruptible():
            return arrays_from_first(partial(compute, stopwatch=self.watch), self._run.ranks)

    def _now(self, progress: Progress) -> Progress:
        """With what the guard and the watch know."""
        return progress._replace(guard=self.guard.state(), seconds=self.watch.seconds)

    def _show_labels(self, progress: Progress) -> None:
        """Write labels.csv once the epoch has its first step, when there is something to save if that fails."""
        if self._run.ranks.is_first and progress.labels is not self._shown:
            with self._checkpoints.rescuing(self._now(progress)):
                write_labels(self._run.folder / LABELS, [record.path for record in self._records], progress.labels)
            self._shown = progress.labels

    def _evaluation_row(
        self,
        result: RankingResult | None,
        *,
        epoch: int,
        labels: np.ndarray | None = None,
        beside: Callable[[], Mapping[str, RankingResult]] = dict,
    ) -> dict[str, Any]:
        return facts_from_first(
            lambda: evaluation_row(cast(RankingResult, result), epoch=epoch, labels=labels, beside=beside()),
            self._run.ranks,
            "evaluation",
        )
