"""One epoch of a run: cluster, train, evaluate, save."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle

from ppreid import wiring
from ppreid.base.progress import Stopwatch
from ppreid.base.records import ReIDSplit, ids
from ppreid.clustering.labels import require_clusters
from ppreid.config.schema import TrainingConfig
from ppreid.datasets.loader import TrainLoader
from ppreid.failpoint import failpoint
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.collectives import arrays_from_first, digest, facts_from_first
from ppreid.processes.ranks import Ranks
from ppreid.run.checkpoint import RunningEpoch, TrainingState
from ppreid.run.checkpoint_set import CheckpointSet
from ppreid.run.folder import LABELS, write_labels
from ppreid.run.metrics import MetricsFile
from ppreid.run.rows import best_row, epoch_line, epoch_row, evaluation_row
from ppreid.run.stop import StopSignals
from ppreid.training.finite import FiniteGuard
from ppreid.training.pseudo_labels import PseudoLabels, assign_pseudo_labels
from ppreid.training.train import EpochProgress, train_epoch

logger = logging.getLogger("ppreid")


class Run(NamedTuple):
    """The parts of a run that stay the same objects from its start to its end."""

    cfg: TrainingConfig
    folder: Path
    split: ReIDSplit
    model: ReIDNet
    optimizer: paddle.optimizer.Optimizer
    train_loader: TrainLoader
    extract: Callable[[], np.ndarray]  # () -> features of the training images (N, D)
    evaluate: Callable[..., Any]  # () -> RankingResult
    metrics: MetricsFile
    checkpoints: CheckpointSet
    guard: FiniteGuard
    stop: StopSignals
    ranks: Ranks

    @property
    def can_evaluate(self) -> bool:
        """Whether there is a labelled query and gallery."""
        return bool(self.split.query)


def one_epoch(run: Run, state: TrainingState, epoch: int) -> TrainingState:
    """Do an epoch, or what is left of it.

    Args:
        run: its parts.
        state: of the run; with a running epoch, that one goes on.
        epoch: its number, from 0.

    Returns:
        The state after the epoch, which is saved.

    Raises:
        Interrupted: a signal came; what was done is saved.
    """
    cfg, running = run.cfg, state.running
    watch = Stopwatch(running.seconds if running else None)
    if running is None:
        with run.stop.interruptible():
            running = _cluster(run, epoch, watch)
    labels = running.labels
    if run.ranks.is_first:
        write_labels(run.folder / LABELS, [record.path for record in run.split.train], labels)

    is_due = run.can_evaluate and ((epoch + 1) % cfg.eval.every == 0 or epoch + 1 == cfg.solver.epochs)
    losses, reached = _train(run, state, running, watch, save_at_end=is_due)
    history = state.history
    if is_due:
        with watch.stage("evaluate"):
            history = [*history, evaluated(run, epoch=epoch + 1, labels=labels)]

    after = state._replace(epoch=epoch + 1, history=history, running=None, labels=labels, guard=run.guard.state())
    if run.ranks.is_first:
        last_step = wiring.schedule(cfg, epoch).last()
        row = epoch_row(epoch + 1, labels, state.labels, run.split.train, losses, last_step, watch.seconds)
        logger.info("%s", epoch_line(row, cfg.solver.epochs, history[-1] if is_due else None))
        with run.checkpoints.rescuing(reached):
            run.metrics.write(**row)
            if is_due:
                run.metrics.write(**history[-1])
            run.checkpoints.save_epoch(after, is_best=is_due and best_row(history) is history[-1])
    return after


def evaluated(
    run: Run, *, epoch: int, labels: np.ndarray | None = None, description: str = "evaluate"
) -> dict[str, Any]:
    """Evaluate the network as it is; see `evaluation_row` for the arguments and the result."""
    with run.stop.interruptible():
        result = run.evaluate(description=description)  # on rank 0
        return facts_from_first(lambda: evaluation_row(result, epoch=epoch, labels=labels), run.ranks, "evaluation")


def _cluster(run: Run, epoch: int, watch: Stopwatch) -> RunningEpoch:
    """Pseudo labels of an epoch, of which no step is done yet."""
    with watch.stage("extract"):
        features = run.extract()  # (N, D)
    labels, centroids = arrays_from_first(lambda: _pseudo_labels(run, features, epoch, watch), run.ranks)
    return RunningEpoch(labels, centroids, steps=0, sums={}, seconds={})


def _pseudo_labels(run: Run, features: np.ndarray, epoch: int, watch: Stopwatch) -> PseudoLabels:
    """Clusters of the features (N, D), at least one."""
    settings = run.cfg.labels
    failpoint("cluster")
    pseudo = assign_pseudo_labels(
        features,
        ids(run.split.train)[1],
        distance=wiring.distance(settings, epoch),
        clusterer=wiring.clusterer(settings),
        stopwatch=watch,
    )
    require_clusters(pseudo.labels, eps=settings.eps, min_samples=settings.min_samples)
    return pseudo


def _train(
    run: Run, state: TrainingState, running: RunningEpoch, watch: Stopwatch, *, save_at_end: bool
) -> tuple[dict[str, float], TrainingState]:
    """The steps of an epoch that are left, with checkpoints on the way.

    Returns:
        The mean losses of the whole epoch and how many of its steps were left out; the state with all steps done.
    """
    cfg, labels = run.cfg, running.labels
    memory = wiring.cluster_memory(cfg.memory, running.centroids)  # (C, D); C changes every epoch
    objective = wiring.objective(cfg.ise, num_clusters=len(running.centroids))
    schedule = wiring.schedule(cfg, state.epoch)
    done = EpochProgress(running.steps, running.sums, running.skipped)

    def pause() -> bool:
        every = cfg.checkpoint.every_steps
        run.stop.request(max(run.ranks.gather(run.stop.requested, "end of a step")))
        return bool(run.stop.requested or (every and done.steps % every == 0))

    def reached() -> TrainingState:
        arrays = {name: value.numpy() for name, value in done.sums.items()}
        now = RunningEpoch(labels, memory.centroids.numpy(), done.steps, arrays, watch.seconds, done.skipped)
        return state._replace(running=now, guard=run.guard.state())

    def save() -> None:
        if run.ranks.is_first:
            now = reached()
            with run.checkpoints.rescuing(now):
                run.checkpoints.save_last(now)
        run.stop.check()

    batches = run.train_loader.epoch(labels, state.epoch, start_batch=done.steps)
    while done.steps < len(schedule.steps):
        with watch.stage("train"):
            train_epoch(
                run.model,
                memory,
                batches,
                labels,
                run.optimizer,
                objective,
                schedule,
                done,
                guard=run.guard,
                forward=wiring.forward(cfg.batch, cfg.amp, run.ranks),
                log_every=cfg.log.every,
                pause=pause,
            )
        if done.steps < len(schedule.steps):
            save()
    run.ranks.agree("weights and memory", lambda: digest([*_trained(run.model), memory.centroids.numpy()]))
    if save_at_end or run.stop.requested:
        save()
    return {**done.means(), "skipped_steps": done.skipped}, reached()


def _trained(model: ReIDNet) -> Iterator[np.ndarray]:
    """Values of what is trained; running statistics may differ until `extract_features` takes those of rank 0."""
    return (parameter.numpy() for parameter in model.parameters() if not parameter.stop_gradient)
