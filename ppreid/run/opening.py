"""Opening a run: its processes, its signals, its folder with lock and log, and the checkpoint that it goes on from."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ppreid.base.environment import launched_processes
from ppreid.base.errors import ConfigError
from ppreid.base.records import ImageRecord
from ppreid.disk.files import write_text
from ppreid.processes.ranks import Ranks, joined_ranks
from ppreid.run.checkpoint import Checkpoint, images_digest
from ppreid.run.checkpoint_set import AUTO, find_checkpoint, settle_best
from ppreid.run.folder import (
    CONFIG,
    ENVIRONMENT,
    LOG,
    METRICS,
    disk_errors_explained,
    open_run_folder,
    own_files,
    settle_replaced,
    write_environment,
)
from ppreid.run.lock import run_lock
from ppreid.run.log import log_to_file
from ppreid.run.metrics import MetricsFile
from ppreid.run.stop import StopSignals, stop_signals

logger = logging.getLogger("ppreid")


class OpenRun(NamedTuple):
    """A run that nobody else has, with nothing read yet.

    Attributes:
        folder: of the run.
        ranks: its processes; rank 0 alone has the folder.
        stop: hears signals.
    """

    folder: Path
    ranks: Ranks
    stop: StopSignals


def _refuse_replaced(folder: Path, inputs: Sequence[Path]) -> None:
    """Refuse to replace a run that the new one reads.

    Args:
        folder: of the run that is to be replaced; need not exist.
        inputs: files that the new run reads.

    Raises:
        ConfigError: one of them is a file of the earlier run.
    """
    own = {os.path.realpath(file) for file in own_files(folder)}
    for path in inputs:
        if os.path.realpath(path) in own:
            raise ConfigError(
                f"{path} belongs to the run in {folder}, which --overwrite replaces, and the new run reads it; "
                "copy it to another place first, or choose another output_dir"
            )


@contextmanager
def open_run(folder: Path, *, overwrite: bool, resume: str, inputs: Sequence[Path] = ()) -> Iterator[OpenRun]:
    """Join the processes of a run, hear signals, and have the folder while the block runs.

    Args:
        folder: of the run, made if it is not there.
        overwrite: replace an earlier run in it.
        resume: see `find_checkpoint`; "" starts a run.
        inputs: files that the run reads.

    Raises:
        PpreidError: the folder belongs to another run or cannot be written, or an input would be replaced with it.
        Interrupted: a signal came.
    """
    if overwrite:
        _refuse_replaced(folder, inputs)
    with (
        stop_signals(repeats_end=launched_processes() == 1) as stop,
        joined_ranks() as ranks,
        disk_errors_explained(folder),
        _own_folder(folder, ranks, overwrite=overwrite, resume=_goes_on_in(folder, resume)),
    ):
        yield OpenRun(folder, ranks, stop)


def read_beginning(
    run: OpenRun, resume: str, *, config: Mapping[str, Any], defaults: Mapping[str, Any], images: Mapping[str, Any]
) -> Checkpoint | None:
    """Read the checkpoint to go on from, compare it with configuration and data, and rewind metrics.jsonl to it.

    Args:
        run: each of its processes reads the checkpoint, and rank 0 prepares the folder.
        resume: see `find_checkpoint`; "" starts a run.
        config: of the run that begins or goes on, as nested dicts.
        defaults: of every key, for checkpoints of before the key was.
        images: facts of the images of the run that begins or goes on, see `image_facts`.

    Returns:
        The checkpoint; None to start at the beginning.

    Raises:
        PpreidError: there is no good checkpoint where one must be, or it cannot be continued like this.
    """
    if not resume:
        return None
    metrics = MetricsFile(run.folder / METRICS)
    checkpoint = find_checkpoint(resume, run.folder)
    if checkpoint is None:
        logger.info("no checkpoint in %s yet: the run starts from the beginning", run.folder)
        if run.ranks.is_first:
            metrics.rewind(-1)
        return None
    from ppreid.run.resume import check_resumable

    check_resumable(checkpoint, config, images, defaults=defaults)
    progress, solver = checkpoint.progress, config["solver"]
    logger.info(
        "resumed from %s after epoch %d%s",
        checkpoint.path,
        progress.epoch,
        f" and {progress.steps} of {solver['iters']} steps" if progress.has_labels else "",
    )
    if progress.epoch >= solver["epochs"]:
        logger.info("nothing is left to train: solver.epochs is %d", solver["epochs"])
    if run.ranks.is_first:
        metrics.rewind(progress.epoch, checkpoint.path.with_name(METRICS), history=progress.history)
        settle_best(checkpoint, run.folder)
    return checkpoint


def write_facts(run: OpenRun, config_text: str, records: Sequence[ImageRecord], checkpoint: Checkpoint | None) -> None:
    """Check that all processes do the same, and write down what the run is."""
    progress = checkpoint and checkpoint.progress
    at = progress and [progress.epoch, progress.steps if progress.has_labels else None]
    run.ranks.agree("options, images and checkpoints", lambda: [config_text, images_digest(records), at])
    if run.ranks.is_first:
        write_text(run.folder / CONFIG, config_text)
        write_environment(run.folder / ENVIRONMENT, resumed=checkpoint is not None)


def _goes_on_in(folder: Path, resume: str) -> bool:
    """Whether `resume` goes on with the run in this folder."""
    place = os.path.realpath(resume)  # never raises, unlike that of pathlib
    return resume == AUTO or (bool(resume) and os.path.realpath(folder) in (place, os.path.dirname(place)))


@contextmanager
def _own_folder(folder: Path, ranks: Ranks, *, overwrite: bool, resume: bool) -> Iterator[None]:
    """Rank 0 alone has the folder: it locks it, opens it and keeps the log while the block runs."""
    if not ranks.is_first:
        ranks.gather(None, "opening of output_dir")
        yield
        return
    with run_lock(folder) as recovered:
        open_run_folder(folder, overwrite=overwrite, resume=resume)
        try:
            with log_to_file(folder / LOG):
                if recovered:
                    logger.info("%s", recovered)
                ranks.gather(None, "opening of output_dir")
                yield
        finally:
            settle_replaced(folder)
