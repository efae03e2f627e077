"""Weights files: safetensors and .pdparams written and read, PyTorch's files read; pickles are read as data."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import WeightsError, unknown_choice
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import replacing
from ppreid.disk.tensor_file import CHECKPOINT_PREFIX, TensorFile, load_tensors, save_tensors
from ppreid.weights.kinds import HEAD_BYTES, SAFETENSORS, TORCH, kind_of, strange_content
from ppreid.weights.missing import folder_of_weights, missing_weights
from ppreid.weights.safe_pickle import load_arrays
from ppreid.weights.state_dict import WeightsFile, find_state_dict
from ppreid.weights.torch_files import load_torch


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
