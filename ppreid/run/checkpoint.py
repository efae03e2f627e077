"""Checkpoints: everything that is needed to evaluate a model, or to go on training it exactly."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import TrainingError, WeightsError, WriteError
from ppreid.base.records import ImageRecord
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.failpoint import failpoint
from ppreid.run.model_state import optimizer_arrays, restore_arrays
from ppreid.weights.files import CHECKPOINT_PREFIX

FORMAT = 1  # raised when a checkpoint of before can no longer be read; tests/data/checkpoints has one of each
MODEL, OPTIMIZER = CHECKPOINT_PREFIX, "optimizer."
LABELS, CENTROIDS, SUM = "running.labels", "running.centroids", "running.sum."
PREVIOUS_LABELS = "labels"


class RunningEpoch(NamedTuple):
    """An epoch that is not finished: its pseudo labels, and how far training on them is.

    Attributes:
        labels: (N,) pseudo labels, -1 for outliers.
        centroids: (C, D) of the cluster memory now.
        steps: training steps done in this epoch.
        sums: of every logged loss over these steps, as the device added them up.
        seconds: per stage so far.
        skipped: steps among them that were left out.
    """

    labels: np.ndarray
    centroids: np.ndarray
    steps: int
    sums: dict[str, np.ndarray]
    seconds: dict[str, float]
    skipped: int = 0


class TrainingState(NamedTuple):
    """Where a run is, beside model and optimizer.

    No random state is among it: every random number is derived from the seed, the epoch and the image's place in it.

    Attributes:
        epoch: epochs that are finished; training goes on with this one (0-based).
        config: the complete configuration as nested dicts.
        history: one row per evaluation so far, as in metrics.jsonl.
        images: count and digest of the training images, see `images_digest`.
        running: the epoch under way; None between two epochs.
        labels: (N,) pseudo labels of the last finished epoch, for its comparison with the next; None before that.
        guard: counts of the steps that were left out, and the scale of the loss, see `FiniteGuard.state`.
    """

    epoch: int
    config: dict[str, Any]
    history: list[dict[str, Any]]
    images: dict[str, Any]
    running: RunningEpoch | None = None
    labels: np.ndarray | None = None
    guard: Mapping[str, Any] = MappingProxyType({})


class Checkpoint(NamedTuple):
    """A checkpoint that was read, complete and undamaged.

    Attributes:
        path: where it was.
        state: see there.
        tensors: of model and optimizer, by the names in the file.
    """

    path: Path
    state: TrainingState
    tensors: dict[str, np.ndarray]


def save_checkpoint(
    path: Path,
    state: TrainingState,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    *,
    keep_as: Path | None = None,
) -> None:
    """Write model, optimizer and state into one safetensors file, completely or not at all.

    Args:
        path: file to write.
        state: where the run is.
        model: of the run.
        optimizer: over the parameters of `model`.
        keep_as: name in the same folder for the file that is replaced; None drops it.

    Raises:
        TrainingError: a number is not finite.
        WriteError: the file cannot be written; an existing one is left as it was.
    """
    failpoint("save")
    tensors = {MODEL + name: value.numpy() for name, value in model.state_dict().items()}
    tensors |= {OPTIMIZER + name: value for name, value in optimizer_arrays(model, optimizer).items()}
    facts = {"format": FORMAT, **state._replace(guard=dict(state.guard))._asdict()}
    if (previous := facts.pop("labels")) is not None:
        tensors[PREVIOUS_LABELS] = previous
    if state.running is not None:
        labels, centroids, steps, sums, seconds, skipped = state.running
        tensors |= {LABELS: labels, CENTROIDS: centroids} | {SUM + name: value for name, value in sums.items()}
        facts["running"] = {"steps": steps, "seconds": seconds, "skipped": skipped}
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
        WeightsError: the file is missing, damaged or not a checkpoint.
    """
    tensors, facts = load_tensors(path)
    if not facts:
        raise WeightsError(f"{path} is not a training checkpoint of ppreid; it cannot be resumed, only evaluated")
    _check_facts(path, facts)
    if facts.get("running") is not None:
        sums = _with_prefix(tensors, SUM)
        try:
            facts["running"] = RunningEpoch(tensors[LABELS], tensors[CENTROIDS], sums=sums, **facts["running"])
        except (KeyError, TypeError) as error:
            raise WeightsError(f"{path} cannot be resumed: its running epoch is incomplete ({error})") from None
    return Checkpoint(path, TrainingState(**facts, labels=tensors.get(PREVIOUS_LABELS)), tensors)


def _check_facts(path: Path, facts: dict[str, Any]) -> None:
    """Take the format out of the facts of a checkpoint; refuse another one, and list facts of another version."""
    found = facts.pop("format", None)
    if found != FORMAT:
        text = f"{path} has checkpoint format {found}, this version of ppreid reads {FORMAT}"
        raise WeightsError(f"{text}; resume with the version that wrote it. Its weights can be evaluated")
    known = set(TrainingState._fields) - {"labels"}
    needed = known - set(TrainingState._field_defaults)
    differences = [f"{name} is missing" for name in sorted(needed - set(facts))]
    differences += [f"{name} is unknown" for name in sorted(set(facts) - known)]
    if differences:
        text = f"{path} was written by another version of ppreid and cannot be resumed"
        raise WeightsError(f"{text}: {', '.join(differences)}")


def restore(checkpoint: Checkpoint, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> None:
    """Put model and optimizer into the state of a checkpoint.

    Args:
        checkpoint: what `read_checkpoint` read.
        model: of the same architecture.
        optimizer: of the same kind, over the parameters of `model`.

    Raises:
        WeightsError: the checkpoint does not fit the model, which is left as it was.
    """
    weights, moments = (_with_prefix(checkpoint.tensors, prefix) for prefix in (MODEL, OPTIMIZER))
    restore_arrays(checkpoint.path, model, optimizer, weights=weights, moments=moments)


def images_digest(records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Count and SHA-256 of the names and cameras of images in order; their folder may be another one later."""
    text = "\n".join(f"{Path(record.path).name} {record.camid}" for record in records)
    return {"count": len(records), "sha256": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()}


def _with_prefix(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose name starts with the prefix, named without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
