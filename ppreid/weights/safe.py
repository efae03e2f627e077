"""Weights of Paddle and PyTorch read without either, and without running anything in them.

    from ppreid.weights import safe
    content = safe.load("model.pth")        # {"state_dict": {"conv1.weight": array, ...}, "epoch": 3}

Needs numpy and the standard library only. docs/weights.md lists the files to take along into another program.
"""

from pathlib import Path

from ppreid.base.errors import WeightsError
from ppreid.base.reading import is_there, reading
from ppreid.weights.checks import HEAD_BYTES, PICKLE, TORCH, kind_of, missing_weights, strange_content
from ppreid.weights.safe_pickle import load_arrays
from ppreid.weights.torch_files import load_torch


def load(path: str | Path) -> object:
    """Read a .pdparams file, or what torch.save wrote, as data.

    Args:
        path: a file of any name; its content decides what it is.

    Returns:
        What it holds: nested dict, list, tuple, numpy array (read-only), str, bytes, int, float, bool, None, and a
        `PassedOver` for every record of settings. bfloat16 comes back as float32, which holds it exactly.

    Raises:
        WeightsError: the file is missing, damaged or of another kind, or asks for anything but arrays.
    """
    path = Path(path)
    if not is_there(path, WeightsError):
        raise WeightsError(missing_weights(path))
    with reading(path, WeightsError), open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    kind = kind_of(path, head)
    if kind == TORCH:
        return load_torch(path)
    if kind == PICKLE:
        return load_arrays(path)
    found = "it is a safetensors file, which holds no code" if kind else strange_content(head)
    found = found or f"it begins with {head[:8]!r}"
    raise WeightsError(f"{path} is neither a .pdparams file nor one that torch.save wrote: {found}")
