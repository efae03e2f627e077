"""The story of training: cluster, train, evaluate, save; again and again."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import paddle

from ppreid import wiring
from ppreid.app.epoch import Run, evaluated, one_epoch
from ppreid.base.environment import launched_processes
from ppreid.base.records import ReIDSplit
from ppreid.config.load import config_text
from ppreid.config.schema import TrainingConfig, scaled_to_devices
from ppreid.datasets.loader import TrainLoader
from ppreid.disk.files import write_text
from ppreid.processes.collectives import tensors_from_first
from ppreid.processes.device import require_determinism, use_device
from ppreid.processes.ranks import Ranks, joined_ranks
from ppreid.run.checkpoint import Checkpoint, TrainingState, images_digest, restore
from ppreid.run.checkpoint_set import CheckpointSet
from ppreid.run.folder import (
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
    write_environment,
)
from ppreid.run.lock import run_lock
from ppreid.run.log import log_to_file
from ppreid.run.metrics import MetricsFile, require_visualdl
from ppreid.run.resume import goes_on_in, open_checkpoint
from ppreid.run.rows import best_row, history_table
from ppreid.run.stop import StopSignals, stop_signals
from ppreid.training.evaluate import evaluate_model
from ppreid.training.optimizer import adam_with_l2
from ppreid.training.precision import require_half_precision
from ppreid.verbs.inputs import load_initial_weights, read_split
from ppreid.verbs.report import report_of_training

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
    folder, device = Path(cfg.output_dir), use_device(cfg.device)
    with (
        stop_signals(repeats_end=launched_processes() == 1) as stop,
        joined_ranks() as ranks,
        disk_errors_explained(folder),
        _own_folder(folder, ranks, overwrite=overwrite, resume=goes_on_in(folder, resume)),
    ):
        require_half_precision(cfg.amp.level, cfg.amp.dtype)
        device = device if ranks.count == 1 else f"{device}, {ranks.count} processes"
        logger.info("device: %s, output: %s", device, folder)
        if cfg.deterministic:
            require_determinism(paddle.get_device())
        cfg, batch = scaled_to_devices(cfg, devices=ranks.count)
        logger.info("%s", batch)
        with stop.interruptible():
            split = read_split(cfg.data, skipped_list=folder / BAD_IMAGES, camera_list=folder / CAMERAS)
            checkpoint = open_checkpoint(resume, cfg, split.train, ranks)
        at = checkpoint and [checkpoint.state.epoch, checkpoint.state.running and checkpoint.state.running.steps]
        ranks.agree("options, images and checkpoints", lambda: [config_text(cfg), images_digest(split.train), at])
        if ranks.is_first:
            write_text(folder / CONFIG, config_text(cfg))
            write_environment(folder / ENVIRONMENT)
        with closing(wiring.train_loader(split.train, cfg, ranks)) as train_loader:
            return _train_on(split, train_loader, cfg, folder, checkpoint, stop, ranks)


@contextmanager
def _own_folder(folder: Path, ranks: Ranks, *, overwrite: bool, resume: bool) -> Iterator[None]:
    """Rank 0 alone has the folder: it locks it, opens it and keeps the log while the block runs."""
    if not ranks.is_first:
        ranks.gather(None, "opening of output_dir")
        yield
        return
    with run_lock(folder) as recovered:
        open_run_folder(folder, overwrite=overwrite, resume=resume)
        with log_to_file(folder / LOG):
            if recovered:
                logger.info("%s", recovered)
            ranks.gather(None, "opening of output_dir")
            yield


def _train_on(
    split: ReIDSplit,
    train_loader: TrainLoader,
    cfg: TrainingConfig,
    folder: Path,
    checkpoint: Checkpoint | None,
    stop: StopSignals,
    ranks: Ranks,
) -> list[dict[str, Any]]:
    """Build the parts of a run, bring them to where it starts or goes on, and train."""
    paddle.seed(cfg.seed)
    model = wiring.reid_net(cfg.model, bn_chunks=wiring.bn_chunks_per_pass(cfg, ranks))
    optimizer = adam_with_l2(model, lr=cfg.solver.lr, weight_decay=cfg.solver.weight_decay)
    extract = wiring.extractor(cfg.eval)
    label_loader = wiring.feature_loader(split.train, cfg.data, cfg.eval, ranks=ranks)
    eval_loader = wiring.feature_loader(split.query + split.gallery, cfg.data, cfg.eval, ranks=ranks)
    rank = wiring.ranking(cfg.eval)
    run = Run(
        cfg,
        folder,
        split,
        model,
        optimizer,
        train_loader,
        extract=partial(extract, model, label_loader, ranks=ranks),
        evaluate=partial(evaluate_model, model, eval_loader, split, rank=rank, extract=extract, ranks=ranks),
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
        guard=wiring.finite_guard(cfg, split.train),
        stop=stop,
        ranks=ranks,
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
    if ranks.is_first:
        _finish(run, state.history)
    return state.history


def _finish(run: Run, history: list[dict[str, Any]]) -> None:
    """Summary, table and report; the other processes are not needed any more."""
    run.metrics.write("summary", last=history[-1] if history else None, best=best_row(history) or None)
    last, best = run.folder / LAST, run.folder / BEST
    if history:
        logger.info("\n%s\nlast and best network: %s, %s", history_table(history), last, best)
    else:
        logger.info("no labelled query and gallery: nothing was evaluated\nlast network: %s", last)
    if run.cfg.report.enabled:
        with run.stop.interruptible():
            report_of_training(run.folder, run.cfg, run.split, run.model)


def _start(run: Run) -> TrainingState:
    """Initial weights, their evaluation, and a first checkpoint: a disk that is full shows itself now."""
    if run.ranks.is_first:
        load_initial_weights(run.model, run.cfg.model)
    tensors_from_first(run.model.state_dict().values(), run.ranks)
    history = [evaluated(run, epoch=0, description="before training")] if run.can_evaluate else []
    state = TrainingState(0, run.cfg.model_dump(), history, images_digest(run.split.train), guard=run.guard.state())
    if run.ranks.is_first:
        for row in history:
            run.metrics.write(**row)
        run.checkpoints.save_last(state)
    return state
