"""Weights files: safetensors and .pdparams written and read, PyTorch's files read; pickles are read as data."""

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import WeightsError, unknown_choice
from ppreid.disk.files import replacing
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.weights.safe_pickle import load_arrays
from ppreid.weights.torch_files import load_torch

CHECKPOINT_PREFIX = "model."  # what a training checkpoint puts before the tensors of the model
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")  # what PyTorch code bases call it in a checkpoint
MAX_LISTED = 20


def listed(names: Iterable[str]) -> str:
    """The first names in one line, and how many there are beyond."""
    names = list(names)
    rest = f", ... and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + rest


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        tensors: {name in the file: array}.
        entry: the part of the file that they were found in, e.g. "state_dict"; "" if they are the whole file.
    """

    tensors: dict[str, np.ndarray]
    entry: str = ""


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
    if _reader(path) is load_torch:
        raise WeightsError(f"{path} is not written: {reason}; change the suffix to .safetensors")
    raise WeightsError(unknown_choice(f"the suffix of {path}", path.suffix, (".safetensors", ".pdparams")))


def read_tensors(path: str | Path) -> WeightsFile:
    """Read the named tensors of a weights file, without running anything in it.

    Args:
        path: a .safetensors file (weights, or a training checkpoint, of which only the model is read), a .pdparams
            file, or what torch.save wrote (.pth, .pth.tar, .pt, .bin): a state dict, alone or in a checkpoint.

    Returns:
        The tensors, names as in the file, without the prefix of a training checkpoint; and where they were found.

    Raises:
        WeightsError: the file is missing, of an unknown kind, damaged, refused, or holds other things than tensors.
    """
    path = Path(path)
    if not path.is_file():
        beside = [str(path.with_name(path.name + suffix)) for suffix in _READERS]
        hint = next((f"; did you mean {name}?" for name in beside if Path(name).is_file()), "")
        raise WeightsError(f"there is no weights file {path}{hint}")
    reader = _reader(path)
    if reader is None:
        raise WeightsError(unknown_choice(f"the suffix of weights file {path}", path.suffix, _READERS))
    return _read_safetensors(path) if reader is load_tensors else _named_tensors(path, reader(path))


_READERS: dict[str, Callable[[Path], object]] = {
    ".safetensors": load_tensors,
    ".pdparams": load_arrays,
    **dict.fromkeys((".pth", ".pth.tar", ".pt", ".bin"), load_torch),
}


def _reader(path: Path) -> Callable[[Path], object] | None:
    return next((reader for suffix, reader in _READERS.items() if path.name.endswith(suffix)), None)


def _read_safetensors(path: Path) -> WeightsFile:
    tensors = load_tensors(path).tensors
    if not any(name.startswith(CHECKPOINT_PREFIX) for name in tensors):
        return WeightsFile(tensors)
    # a checkpoint also holds the optimizer
    ours = {name: array for name, array in tensors.items() if name.startswith(CHECKPOINT_PREFIX)}
    return WeightsFile({name.removeprefix(CHECKPOINT_PREFIX): array for name, array in ours.items()}, "model")


def _named_tensors(path: Path, content: object) -> WeightsFile:
    """Find the state dict in what a pickle held."""
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, expected a dict of named tensors (a state dict)")
    entry = _state_dict_key(content)
    entries = {str(name): _without_name(value) for name, value in (content[entry] if entry else content).items()}
    entries.pop("StructuredToParameterName@@", None)  # paddle.save's table of internal names
    tensors = {name: value for name, value in entries.items() if isinstance(value, np.ndarray)}
    if len(tensors) < len(entries):
        others = [f"{name} ({type(value).__name__})" for name, value in entries.items() if name not in tensors]
        place = f"the entry {entry!r} of {path}" if entry else str(path)
        raise WeightsError(f"{place} is not a state dict; these entries are not tensors: {listed(others)}")
    return WeightsFile(tensors, entry)


def _state_dict_key(content: dict) -> str:
    """Key of the state dict in a checkpoint, "" if `content` is a state dict or cannot be told."""
    values = map(_without_name, content.values())
    if any(isinstance(value, np.ndarray) and value.ndim for value in values):  # a score may be a 0-d tensor
        return ""
    found = [key for key in STATE_DICT_KEYS if isinstance(content.get(key), dict)]
    return found[0] if len(found) == 1 else ""


def _without_name(value: object) -> object:
    # paddle.save stores a tensor inside a mixed dict as (internal name, array)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[1]
    return value
