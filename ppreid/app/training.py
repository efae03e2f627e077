"""The story of training: cluster, train, evaluate, save; again and again."""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ppreid import build
from ppreid.app.epoch import Run, one_epoch
from ppreid.app.reporting import report_of_training
from ppreid.app.resume import goes_on_in, open_checkpoint
from ppreid.config import config_text
from ppreid.datasets.loader import TrainLoader
from ppreid.engine.checkpoint import Checkpoint, TrainingState, images_digest, restore
from ppreid.engine.checkpoint_set import CheckpointSet
from ppreid.engine.device import require_determinism, use_device
from ppreid.engine.environment import write_environment
from ppreid.engine.evaluate import evaluate_model
from ppreid.engine.optimizer import adam_with_l2
from ppreid.engine.precision import require_half_precision
from ppreid.engine.run_folder import (
    BAD_IMAGES,
    BEST,
    CAMERAS,
    CONFIG,
    ENVIRONMENT,
    LAST,
    LOG,
    METRICS,
    disk_errors_explained,
    open_run_folder,
)
from ppreid.engine.run_lock import run_lock
from ppreid.engine.runlog import MetricsFile, log_to_file
from ppreid.engine.stop_signals import StopSignals, stop_signals
from ppreid.engine.tables import best_row, evaluation_row, history_table
from ppreid.engine.visualdl_curves import require_visualdl
from ppreid.evaluation.ranking import RankingResult
from ppreid.files import write_text
from ppreid.inputs import load_initial_weights, read_split
from ppreid.models.reid_net import ReIDNet
from ppreid.records import ReIDSplit
from ppreid.schema import TrainingConfig

logger = logging.getLogger("ppreid")


def train(cfg: TrainingConfig, *, overwrite: bool = False, resume: str = "") -> list[dict[str, Any]]:
    """Train a network on images whose identities are unknown, and evaluate it now and then.

    SIGINT and SIGTERM save what was done and stop the run (docs/reliability.md).

    Args:
        cfg: everything there is to choose.
        overwrite: replace an earlier run in output_dir.
        resume: "" starts a run. "auto" goes on with the run in output_dir where its last checkpoint is, and starts it
            if there is none yet; a folder or a checkpoint file goes on from there. On the CPU the result is the same,
            bit for bit, as that of an uninterrupted run.

    Returns:
        One row per evaluation with the keys of metrics.jsonl; the first (epoch 0) is from before training. None
        without labelled query and gallery images.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
        Interrupted: a signal came; what was done is saved.

    Reference:
        Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, section 3.
    """
    if cfg.log.visualdl:
        require_visualdl()
    folder = Path(cfg.output_dir)
    with stop_signals() as stop, run_lock(folder) as recovered, disk_errors_explained(folder):
        open_run_folder(folder, overwrite=overwrite, resume=goes_on_in(folder, resume))
        with log_to_file(folder / LOG):
            if recovered:
                logger.info("%s", recovered)
            logger.info("device: %s, output: %s", use_device(cfg.device), folder)
            require_half_precision(cfg.amp.level, cfg.amp.dtype)
            if cfg.deterministic:
                require_determinism(paddle.get_device())
            cfg, batch = build.scaled_to_devices(cfg, devices=paddle.distributed.get_world_size())
            logger.info("%s", batch)
            with stop.interruptible():
                split = read_split(cfg.data, skipped_list=folder / BAD_IMAGES, camera_list=folder / CAMERAS)
                checkpoint = open_checkpoint(resume, cfg, split.train)
            write_text(folder / CONFIG, config_text(cfg))
            write_environment(folder / ENVIRONMENT)
            with closing(build.train_loader(split.train, cfg)) as train_loader:
                return _train_on(split, train_loader, cfg, folder, checkpoint, stop)


def _train_on(
    split: ReIDSplit,
    train_loader: TrainLoader,
    cfg: TrainingConfig,
    folder: Path,
    checkpoint: Checkpoint | None,
    stop: StopSignals,
) -> list[dict[str, Any]]:
    """Build the parts of a run, bring them to where it starts or goes on, and train."""
    paddle.seed(cfg.seed)
    model = build.reid_net(cfg.model, bn_chunks=cfg.model.bn_chunks // cfg.batch.accumulate)
    optimizer = adam_with_l2(model, lr=cfg.solver.lr, weight_decay=cfg.solver.weight_decay)
    extract = build.extractor(cfg.eval)
    label_loader = build.feature_loader(split.train, cfg.data, cfg.eval)
    run = Run(
        cfg,
        folder,
        split,
        model,
        optimizer,
        train_loader,
        extract=partial(extract, model, label_loader),
        evaluate=_evaluation(split, model, cfg, extract),
        metrics=MetricsFile(folder / METRICS, visualdl=cfg.log.visualdl),
        checkpoints=CheckpointSet(
            folder,
            model,
            optimizer,
            every=cfg.checkpoint.every,
            keep=cfg.checkpoint.keep,
            last_is_good=checkpoint is None or checkpoint.path == folder / LAST,
            fallback=Path(os.path.expanduser(cfg.checkpoint.fallback_dir)) if cfg.checkpoint.fallback_dir else None,
        ),
        guard=build.finite_guard(cfg, split.train),
        stop=stop,
    )
    if checkpoint is None:
        state = _start(run)
    else:
        restore(checkpoint, model, optimizer)
        run.guard.restore(checkpoint.state.guard)
        checkpoint.tensors.clear()  # as much memory as network and optimizer again
        state = checkpoint.state._replace(config=cfg.model_dump())
    for epoch in range(state.epoch, cfg.solver.epochs):
        state = one_epoch(run, state, epoch)
        stop.check()
    last = state.history[-1] if state.history else None
    run.metrics.write("summary", last=last, best=best_row(state.history) or None)
    if state.history:
        logger.info("\n%s\nlast and best network: %s, %s", history_table(state.history), folder / LAST, folder / BEST)
    else:
        logger.info("no labelled query and gallery: nothing was evaluated\nlast network: %s", folder / LAST)
    if cfg.report.enabled:
        with stop.interruptible():
            report_of_training(folder, cfg, split, model)
    return state.history


def _evaluation(
    split: ReIDSplit, model: ReIDNet, cfg: TrainingConfig, extract: Callable[..., np.ndarray]
) -> Callable[..., RankingResult] | None:
    """The evaluation of the model as it is then; None where there is nothing to evaluate on."""
    if not split.query:
        return None
    loader = build.feature_loader(split.query + split.gallery, cfg.data, cfg.eval)
    return partial(evaluate_model, model, loader, split, rank=build.ranking(cfg.eval), extract=extract)


def _start(run: Run) -> TrainingState:
    """Initial weights, their evaluation, and a first checkpoint: a disk that is full shows itself now."""
    load_initial_weights(run.model, run.cfg.model)
    history = []
    if run.evaluate:
        with run.stop.interruptible():
            history = [evaluation_row(run.evaluate(description="before training"), epoch=0)]
        run.metrics.write(**history[0])
    state = TrainingState(0, run.cfg.model_dump(), history, images_digest(run.split.train), guard=run.guard.state())
    run.checkpoints.save_last(state)
    return state
