"""Checkpoints: everything that is needed to evaluate a model, or to go on training it exactly."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import TrainingError, WeightsError, WriteError
from ppreid.base.records import ImageRecord, ReIDSplit, tracks
from ppreid.datasets.summary import contents_digest
from ppreid.disk.tensor_file import CHECKPOINT_PREFIX, load_tensors, save_tensors
from ppreid.run.checkpoint_parts import (
    FORMAT,
    check_labels_of,
    check_running,
    checked_facts,
    optimizer_arrays,
    restore_arrays,
)
from ppreid.run.progress import Progress

MODEL, OPTIMIZER, TWIN = CHECKPOINT_PREFIX, "optimizer.", "twin."
LABELS, CENTROIDS, SUM, KEPT = "running.labels", "running.centroids", "running.sum.", "running.kept."
PREVIOUS_LABELS = "labels"


class Checkpoint(NamedTuple):
    """A checkpoint that was read, complete and undamaged.

    Attributes:
        path: where it was.
        progress: where the run was.
        config: its complete configuration as nested dicts.
        images: count and digest of its training images, see `images_digest`.
        tensors: of model and optimizer, by the names in the file.
    """

    path: Path
    progress: Progress
    config: dict[str, Any]
    images: dict[str, Any]
    tensors: dict[str, np.ndarray]


def save_checkpoint(
    path: Path,
    progress: Progress,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    *,
    config: Mapping[str, Any],
    images: Mapping[str, Any],
    twin: nn.Layer | None = None,
    keep_as: Path | None = None,
) -> None:
    """Write model, optimizer and progress into one safetensors file, completely or not at all.

    Args:
        path: file to write.
        progress: where the run is.
        model: of the run.
        optimizer: over the parameters of `model`.
        config: of the run, as nested dicts.
        images: digest of its training images.
        twin: the network that follows `model`; None: there is none.
        keep_as: name in the same folder for the file that is replaced; None drops it.

    Raises:
        TrainingError: a number is not finite.
        WriteError: the file cannot be written; an existing one is left as it was.
    """
    tensors = {MODEL + name: value for name, value in arrays_of(model).items()}
    tensors |= {OPTIMIZER + name: value for name, value in optimizer_arrays(model, optimizer).items()}
    if twin:
        tensors |= {TWIN + name: value for name, value in arrays_of(twin).items()}
    facts: dict[str, Any] = {"format": FORMAT, "epoch": progress.epoch, "config": dict(config)}
    facts |= {"history": list(progress.history), "images": dict(images), "running": None}
    if progress.previous is not None:
        tensors[PREVIOUS_LABELS] = progress.previous
    if progress.has_labels:
        tensors |= {LABELS: progress.labels, CENTROIDS: _array(progress.centroids)}
        tensors |= {SUM + name: _array(value) for name, value in progress.sums.items()}
        tensors |= {f"{KEPT}{number}": array for number, array in enumerate(progress.kept)}
        facts["running"] = {"steps": progress.steps, "seconds": dict(progress.seconds), "skipped": progress.skipped}
    facts["guard"] = dict(progress.guard)
    _require_finite(path, tensors)
    try:
        save_tensors(path, tensors, facts, keep_as=keep_as)
    except WriteError as error:
        needed, reason = sum(array.nbytes for array in tensors.values()), os.strerror(error.errno or 0)
        raise WriteError(
            error.errno,
            f"cannot write checkpoint {path}: {reason}; it needs {needed:,} bytes, and its disk has "
            f"{_free(path.parent)} free. The checkpoints that were there still are; make it writable or make room",
        ) from error


def arrays_of(network: nn.Layer) -> dict[str, np.ndarray]:
    """Weights and running statistics by name."""
    return {name: value.numpy() for name, value in network.state_dict().items()}


def _array(value: paddle.Tensor | np.ndarray) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else value.numpy()


def _require_finite(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse to save NaN or infinities."""
    broken = [name for name, array in tensors.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if broken:
        raise TrainingError(
            f"{path} was not written, because {len(broken)} of {len(tensors)} tensors are not finite (first: "
            f"{broken[0]}). The checkpoints that were there are good: lower solver.lr, then --resume"
        )


def _free(folder: Path) -> str:
    """Bytes that are free where a folder is, for a message; it may have gone."""
    return f"{shutil.disk_usage(folder).free:,}" if folder.exists() else "an unknown number"


def checkpoint_bytes(model: nn.Layer) -> int:
    """Size of a checkpoint of this model, without its header: the weights, and Adam's two moments of the trained."""
    trained = sum(int(parameter.size) for parameter in model.parameters() if parameter.trainable)
    return 4 * (sum(int(tensor.size) for tensor in model.state_dict().values()) + 2 * trained)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file written by `save_checkpoint`.

    Raises:
        WeightsError: the file is missing, damaged or not a checkpoint, or holds NaN or the like.
    """
    tensors, found = load_tensors(path)
    if not found:
        raise WeightsError(f"{path} is not a training checkpoint of ppreid; it cannot be resumed, only evaluated")
    from ppreid.weights.checks import check_numbers  # a run that begins reads no checkpoint

    check_numbers(path, tensors)
    facts = checked_facts(path, found)
    progress = Progress(
        epoch=facts.epoch,
        history=tuple(row.model_dump() for row in facts.history),
        previous=tensors.get(PREVIOUS_LABELS),
        guard=facts.guard.model_dump(exclude_unset=True),
    )
    if progress.previous is not None:
        check_labels_of(path, progress.previous)
    if facts.running:
        labels, centroids, sums = tensors.get(LABELS), tensors.get(CENTROIDS), _with_prefix(tensors, SUM)
        if labels is None or centroids is None:
            raise WeightsError(f"{path} cannot be resumed: its running epoch is incomplete ({LABELS}, {CENTROIDS})")
        check_running(path, labels, centroids, sums)
        # the objective checks them, which alone knows what they are
        found = _with_prefix(tensors, KEPT)
        kept = tuple(found[name] for name in sorted(found, key=lambda name: (len(name), name)))
        progress = progress._replace(labels=labels, centroids=centroids, sums=sums, kept=kept)
        progress = progress._replace(**facts.running.model_dump())
    return Checkpoint(path, progress, facts.config, facts.images.model_dump(), tensors)


def restore(
    checkpoint: Checkpoint, model: nn.Layer, optimizer: paddle.optimizer.Optimizer, twin: nn.Layer | None = None
) -> None:
    """Put model, optimizer and the model's twin into the state of a checkpoint.

    Args:
        checkpoint: what `read_checkpoint` read.
        model: of the same architecture.
        optimizer: of the same kind, over the parameters of `model`.
        twin: the network that follows `model`; None: there is none.

    Raises:
        WeightsError: the checkpoint does not fit the model, which is left as it was.
    """
    if twin:
        restore_arrays(checkpoint.path, twin, None, weights=_with_prefix(checkpoint.tensors, TWIN), moments={})
    weights, moments = (_with_prefix(checkpoint.tensors, prefix) for prefix in (MODEL, OPTIMIZER))
    restore_arrays(checkpoint.path, model, optimizer, weights=weights, moments=moments)


def images_digest(records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Count and SHA-256 of the names and cameras of images in order; their folder may be another one later."""
    text = "\n".join(f"{Path(record.path).name} {record.camid}" for record in records)
    return {"count": len(records), "sha256": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()}


def image_facts(split: ReIDSplit, *, num_workers: int) -> dict[str, Any]:
    """What a checkpoint says of its images: `images_digest` of the training part, its tracks, and what the files hold.

    Args:
        split: the data set.
        num_workers: threads that read a few kilobytes of every file.
    """
    gallery = contents_digest([*split.query, *split.gallery], identities=True, num_workers=num_workers)
    contents = contents_digest(split.train, num_workers=num_workers)
    numbers, times = tracks(split.train)
    known = hashlib.sha256(numbers.astype("<i8").tobytes() + times.astype("<f8").tobytes()).hexdigest()
    return {**images_digest(split.train), "contents": contents, "tracks": known, "gallery": gallery}


def _with_prefix(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose name starts with the prefix, named without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
