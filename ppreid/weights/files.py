"""Weights files written and read: safetensors, .pdparams, and what PyTorch wrote; pickles are read as data."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import WeightsError, printable, unknown_choice
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import replacing
from ppreid.disk.tensor_file import CHECKPOINT_PREFIX, TensorFile, load_tensors, save_tensors
from ppreid.weights.checks import (
    HEAD_BYTES,
    SAFETENSORS,
    TORCH,
    folder_of_weights,
    kind_of,
    missing_weights,
    strange_content,
)
from ppreid.weights.safe_pickle import load_arrays
from ppreid.weights.torch_files import load_torch
from ppreid.weights.untrusted import PassedOver

# what code bases call it in a checkpoint; a teacher is the mean of its student over time, and the better network
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "teacher", "student")
MAX_LISTED = 20


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        tensors: {name in the file: array}.
        entry: the part of the file that they were found in, e.g. "state_dict"; "" if they are the whole file.
    """

    tensors: dict[str, np.ndarray]
    entry: str = ""


def listed(names: Iterable[str], most: int = MAX_LISTED) -> str:
    """The first names in one line, and how many there are beyond."""
    names = list(names)
    rest = f", ... and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(printable(name) for name in names[:most]) + rest


def find_state_dict(path: Path, content: object) -> WeightsFile:
    """Find the state dict in what a pickle held.

    Args:
        path: the file, for messages.
        content: see `safe_pickle.plain`.

    Raises:
        WeightsError: there is none, or it holds other things than tensors; the message lists what there is.
    """
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {_kind(content)}, expected a dict of named tensors (a state dict)")
    entry = _state_dict_key(content)
    entries = {str(name): _without_name(value) for name, value in (content[entry] if entry else content).items()}
    entries.pop("StructuredToParameterName@@", None)  # paddle.save's table of internal names
    tensors = {name: value for name, value in entries.items() if isinstance(value, np.ndarray)}
    if len(tensors) < len(entries):
        others = [f"{name} ({_kind(value)})" for name, value in entries.items() if name not in tensors]
        place = f"the entry {entry!r} of {path}" if entry else str(path)
        raise WeightsError(f"{place} is not a state dict; these entries are not tensors: {listed(others)}")
    if not tensors:
        raise WeightsError(f"{path} holds no tensor at all; expected a dict of named tensors (a state dict)")
    return WeightsFile(tensors, entry)


def _state_dict_key(content: Mapping[object, object]) -> str:
    """Key of the state dict in a checkpoint, "" if `content` is a state dict or cannot be told."""
    beside = _num_tensors(content)  # a checkpoint may have a few of its own, e.g. a score
    found = [key for key in STATE_DICT_KEYS if _num_tensors(content.get(key)) > beside]
    if found == ["teacher", "student"]:
        return "teacher"
    return found[0] if len(found) == 1 else ""


def _num_tensors(value: object) -> int:
    """How many entries of a dict are tensors of some size; -1 if it is none."""
    if not isinstance(value, Mapping):
        return -1
    entries = map(_without_name, value.values())
    return sum(isinstance(entry, np.ndarray) and entry.ndim > 0 for entry in entries)


def _without_name(value: object) -> object:
    # paddle.save stores a tensor inside a mixed dict as (internal name, array)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[1]
    return value


def _kind(value: object) -> str:
    return value.kind if isinstance(value, PassedOver) else type(value).__name__


def save_weights(path: str | Path, model: nn.Layer) -> None:
    """Write the state dict of a model as safetensors; the file appears complete or not at all.

    Args:
        path: target, ending in .safetensors; its folder must exist.
        model: any model.

    Raises:
        WeightsError: the suffix is another one.
    """
    if Path(path).suffix != ".safetensors":
        raise WeightsError(f"weights are written as .safetensors, but the path is {path}; change its suffix")
    write_tensors(path, {name: tensor.numpy() for name, tensor in model.state_dict().items()})


def write_tensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write named tensors; the file appears complete or not at all.

    Args:
        path: target, ending in .safetensors, or .pdparams (what paddle.save makes of a state dict); its folder must
            exist.
        tensors: arrays by name.

    Raises:
        WeightsError: the suffix is another one.
    """
    path = Path(path)
    suffix = check_writable_suffix(path)
    if suffix == ".safetensors":
        save_tensors(path, tensors, {})
        return
    content = BytesIO()
    cpu = paddle.CPUPlace()
    paddle.save({name: paddle.to_tensor(array, place=cpu) for name, array in tensors.items()}, content)
    with replacing(path) as file:
        file.write(content.getbuffer())


def check_writable_suffix(path: Path) -> str:
    """The suffix of a path that `write_tensors` can write; a WeightsError for every other one."""
    if path.suffix in (".safetensors", ".pdparams"):
        return path.suffix
    reason = "PyTorch's own files are programs, and PyTorch reads .safetensors (safetensors.torch.load_file)"
    if path.name.endswith((".pth", ".pth.tar", ".pt", ".bin", ".ckpt")):
        raise WeightsError(f"{path} is not written: {reason}; change the suffix to .safetensors")
    raise WeightsError(unknown_choice(f"the suffix of {path}", path.suffix, (".safetensors", ".pdparams")))


def read_tensors(path: str | Path) -> WeightsFile:
    """Read the named tensors of a weights file, without running anything in it.

    Args:
        path: a file of any name; its content decides what it is. A safetensors file (weights, or a training checkpoint,
            of which only the model is read), a .pdparams file, or what torch.save wrote: a state dict, alone or in a
            checkpoint.

    Returns:
        The tensors, names as in the file, without the prefix of a training checkpoint; and where they were found.

    Raises:
        WeightsError: the file is missing, cannot be read, is of an unknown kind, damaged, refused, or holds other
            things than tensors.
    """
    path = Path(path)
    with reading(path, WeightsError):
        if path.is_dir():
            raise WeightsError(folder_of_weights(path))
    if not is_there(path, WeightsError):
        raise WeightsError(missing_weights(path))
    with reading(path, WeightsError), open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    kind = kind_of(path, head)
    if kind is None:
        found = strange_content(head) or f"it begins with {head[:8]!r}"
        raise WeightsError(
            f"{path} cannot be read as weights: {found}. The file is truncated, damaged or of another kind; ppreid "
            "reads .safetensors, .pdparams of Paddle, and what torch.save wrote (docs/weights.md)"
        )
    if kind == SAFETENSORS:
        return _of_safetensors(load_tensors(path))
    return find_state_dict(path, load_torch(path) if kind == TORCH else load_arrays(path))


def _of_safetensors(file: TensorFile) -> WeightsFile:
    """All tensors, or of a training checkpoint those of the model: it also holds the optimizer."""
    tensors = file.tensors
    is_checkpoint = bool(file.facts) or all(name.startswith((CHECKPOINT_PREFIX, "optimizer.")) for name in tensors)
    ours = {name: array for name, array in tensors.items() if name.startswith(CHECKPOINT_PREFIX)}
    if not (ours and is_checkpoint):  # others have layers that are called model
        return WeightsFile(tensors)
    return WeightsFile({name.removeprefix(CHECKPOINT_PREFIX): array for name, array in ours.items()}, "model")
