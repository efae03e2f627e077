"""Which checkpoints of a run there are: the last, the one before it, the best, and those of every n-th epoch."""

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import ConfigError, PpreidWarning, WeightsError
from ppreid.base.reading import folder_is_there
from ppreid.disk.files import replacing
from ppreid.disk.tensor_file import save_tensors
from ppreid.run import folder as files
from ppreid.run.checkpoint import Checkpoint, arrays_of, read_checkpoint, save_checkpoint
from ppreid.run.folder import BEST, LAST, METRICS, PREVIOUS, TWIN, epoch_checkpoint, epoch_checkpoints
from ppreid.run.progress import Progress
from ppreid.run.rows import best_row

AUTO = "auto"
ASIDE = "checkpoint_best_aside.safetensors"  # a best checkpoint that is not of the history of its run


class CheckpointSet:
    """Saves checkpoints of one run by a policy.

    Attributes:
        beginning: the checkpoint that the run goes on from; None begins.
    """

    def __init__(
        self,
        folder: Path,
        model: nn.Layer,
        optimizer: paddle.optimizer.Optimizer,
        *,
        every: int,
        keep: int,
        every_steps: int,
        beginning: Checkpoint | None,
        fallback: Path | None,
        config: Mapping[str, Any],
        images: Mapping[str, Any],
        twin: nn.Layer | None = None,
    ) -> None:
        """Keep the settings; nothing is written.

        Args:
            folder: of the run.
            model: of the run.
            optimizer: of the run.
            every: epochs between two checkpoints that stay; 0 is none.
            keep: how many of these stay, the newest; 0 is all.
            every_steps: steps between two checkpoints within an epoch; 0 saves at the ends of epochs only.
            beginning: the checkpoint that the run goes on from; None begins.
            fallback: where to save what training has reached when the folder cannot be written; None is nowhere.
            config: of the run, as nested dicts.
            images: digest of its training images.
            twin: the network that follows the model; None: there is none.
        """
        self._folder = folder
        self._every = every
        self._keep = keep
        self._every_steps = every_steps
        self.beginning = beginning
        # undamaged, as far as anybody knows; otherwise the first new one replaces it and leaves the previous one alone
        self._last_is_good = beginning is None or beginning.path == folder / LAST
        self._model = model
        self._fallback, self._twin = fallback, twin
        self._save = partial(save_checkpoint, model=model, optimizer=optimizer, config=config, images=images, twin=twin)

    def is_due(self, steps: int) -> bool:
        """Whether a checkpoint is wanted after so many steps of an epoch."""
        return bool(self._every_steps) and steps % self._every_steps == 0

    def trained(self) -> Iterator[np.ndarray]:
        """Values of what is trained; running statistics may differ until `extract_features` takes those of rank 0."""
        return (parameter.numpy() for parameter in self._model.parameters() if not parameter.stop_gradient)

    def rescuing(self, progress: Progress) -> AbstractContextManager[None]:
        """Save this in the fallback, and stop the run, if the block cannot write (see `rescuing`)."""
        return files.rescuing(self._folder, self._fallback, lambda path: self._save(path, progress))

    def save_last(self, progress: Progress) -> None:
        """Write the last checkpoint; the one that it replaces becomes the previous one.

        Raises:
            WriteError: it cannot be written; all others are left as they were.
        """
        keep_as = self._folder / PREVIOUS if self._last_is_good else None
        self._save(self._folder / LAST, progress, keep_as=keep_as)
        self._last_is_good = True
        files.settle_replaced(self._folder)  # the run that --overwrite replaces is not needed any more

    def save_epoch(self, progress: Progress, *, is_best: bool) -> None:
        """Write the checkpoints that are due at the end of an epoch, the last one last.

        Args:
            progress: between two epochs.
            is_best: its evaluation is the best so far.

        Raises:
            WriteError: one cannot be written.
        """
        if is_best:
            self._save(self._folder / BEST, progress)
        stays = self._every and progress.epoch % self._every == 0
        if stays:
            self._save(epoch_checkpoint(self._folder, progress.epoch), progress)
        if self._twin:  # in a file of its own, as evaluation takes the network from the checkpoints
            save_tensors(self._folder / TWIN, arrays_of(self._twin), {})
        self.save_last(progress)
        if stays and self._keep:
            # later ones are of a run that was resumed before them
            newest = epoch_checkpoint(self._folder, progress.epoch)
            for old in [file for file in epoch_checkpoints(self._folder) if file <= newest][: -self._keep]:
                old.unlink()


def find_checkpoint(resume: str, output_dir: Path) -> Checkpoint | None:
    """Read the checkpoint to go on from.

    Args:
        resume: "auto" for the newest good one in output_dir, another folder for the newest good one there, or a file.
        output_dir: folder of the run.

    Returns:
        The checkpoint; None for "auto" in a folder without any.

    Raises:
        ConfigError: there is none where one was asked for.
        WeightsError: none is good.
    """
    if resume == AUTO:
        others = [file for file in (output_dir / BEST, *epoch_checkpoints(output_dir)) if file.exists()]
        checkpoint = _newest(output_dir)
        if checkpoint is None and others:
            raise ConfigError(
                f"{output_dir / LAST} is gone, but {', '.join(file.name for file in others)} is there; resume from a "
                "file (--resume FILE) or start again (--overwrite)"
            )
        return checkpoint
    path = Path(resume)
    if not os.path.isdir(path):
        return read_checkpoint(path)
    folder_is_there(path, WeightsError)
    checkpoint = _newest(path)
    if checkpoint is None:
        raise ConfigError(f"nothing to resume: {path} holds no {LAST}; give a folder of a run, or a checkpoint file")
    return checkpoint


def settle_best(checkpoint: Checkpoint, output_dir: Path) -> None:
    """Make the best checkpoint in the folder of a run that goes on the one of its history, or none.

    It is copied to another folder of the run. One that is damaged, or of an epoch that is done again, is put aside.

    Args:
        checkpoint: that the run goes on from.
        output_dir: where it goes on.

    Warns:
        PpreidWarning: the network of the best evaluation so far is not there.
    """
    expected = best_row(checkpoint.progress.history).get("epoch")
    source, target = checkpoint.path.with_name(BEST), output_dir / BEST
    found, problem = _epoch_of(source)
    is_here = source.parent.resolve() == output_dir.resolve()
    if found is not None and found == expected:
        if not is_here:
            with replacing(target) as copy, open(source, "rb") as file:
                shutil.copyfileobj(file, copy)
        return
    if target.exists() and is_here:
        target.replace(output_dir / ASIDE)
        problem += f"; it is {ASIDE} now"
    if expected is not None and source.with_name(METRICS).exists():  # not a file that was taken along alone
        warnings.warn(
            f"the network of the best evaluation so far (epoch {expected}) is not in {source}, {problem}; the file is "
            "written again when a later evaluation is better",
            PpreidWarning,
            stacklevel=3,
        )


def _epoch_of(path: Path) -> tuple[int | None, str]:
    """Finished epochs of a checkpoint; None and the reason where it cannot be read, or is not there."""
    if not path.exists():
        return None, "which is not there"
    try:
        epoch = read_checkpoint(path).progress.epoch
    except WeightsError as error:
        return None, f"which is no good ({error})"
    return epoch, f"which is of epoch {epoch}"


def _newest(folder: Path) -> Checkpoint | None:
    """The last checkpoint or, if that is damaged or missing, the previous one; None if neither is there."""
    problems = []
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            if path.exists():
                checkpoint = read_checkpoint(path)
                break
        except WeightsError as error:
            problems.append(str(error))
    else:
        if problems:
            rest = "start again (--overwrite) or resume from another checkpoint (--resume FILE)"
            raise WeightsError(f"no checkpoint to resume from: {'; '.join(problems)}; {rest}")
        return None
    if problems:
        warnings.warn(f"{problems[0]}; going on from {checkpoint.path} instead", PpreidWarning, stacklevel=4)
    return checkpoint
