"""Pickles of strangers: failures are explained, no length is believed, stand-ins take the place of what they name."""

import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ppreid.base.errors import WeightsError
from ppreid.base.reading import reading

MAX_OPCODES = 1_000_000  # a state dict of 1,000 tensors has about 40,000

# What the pickle and the zip machine raise on damaged input, depending on where the damage is.
DAMAGED = (
    pickle.UnpicklingError,
    BadZipFile,
    EOFError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
)


@contextmanager
def explained_damage(path: Path, kind: str) -> Iterator[None]:
    """Whatever damaged input makes the block raise becomes a WeightsError that names the file and its kind."""
    try:
        with reading(path, WeightsError):
            yield
    except DAMAGED as error:
        raise WeightsError(
            f"{path} cannot be read as {kind}: {type(error).__name__}: {error}. "
            "The file is truncated, damaged or of another kind; fetch or write it again"
        ) from error


@contextmanager
def mapped(path: Path) -> Iterator[mmap]:
    """A file as mapped memory: a read of more bytes than there are costs nothing, unlike with an ordinary file."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def check_opcodes(content: BytesIO | mmap) -> None:
    """Walk over one pickle without running it; refuse what would make the machine allocate more than the file holds.

    Lengths beyond the end of the file are errors of `pickletools.genops`.
    """
    for number, (opcode, argument, _position) in enumerate(pickletools.genops(content)):  # type: ignore[arg-type]
        if number == MAX_OPCODES:
            raise ValueError(f"it has more than {MAX_OPCODES:,} instructions")
        # the machine's list of remembered objects grows to the highest index, which is at most their number
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > number:
            raise ValueError(f"it remembers object {argument} after {number} instructions")


# What checkpoints hold beside tensors: records of settings. Neither their classes nor any function is needed to pass
# them over.
PASSED_OVER = frozenset(
    (
        "argparse.Namespace",
        "yacs.config.CfgNode",
        "fastreid.config.config.CfgNode",
        "fvcore.common.config.CfgNode",
        "easydict.EasyDict",
        "addict.addict.Dict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "torch.device",
        "torch.Size",
    )
)


class StandIn:
    """What a pickle gets hold of in place of the real thing; it cannot change its attributes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Called when a pickle sets the state of an object."""
        raise ValueError("it changes an object that has no state")


class FunctionStandIn(StandIn):
    """Stands in for a function; unlike a function or method, it has no attributes to set."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        """Call the function."""
        return self._function(*arguments)


class ArrayStandIn(StandIn):
    """Takes the place of an array until the pickle has been read; then `plain` asks for the array."""

    def to_array(self) -> np.ndarray:
        """The array, read-only."""
        raise NotImplementedError


class DTypeStandIn(StandIn):
    """Stands in for numpy.dtype: a number type, and its byte order once the pickle has set its state."""

    def __init__(self, code: str) -> None:
        if not re.fullmatch(r"[biufc]\d{1,2}", code):
            raise ValueError(f"an array has element type {code!r}, which is not a number")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order over, the second of the parts that numpy writes."""
        byte_order = state[1]  # "<", ">" or "|"
        self.dtype = self.dtype.newbyteorder(byte_order)


class NumpyArrayStandIn(ArrayStandIn):
    """Stands in for numpy.ndarray until the pickle has set its state."""

    def __init__(self, as_bytes: Callable[[Any], bytes]) -> None:
        self._as_bytes = as_bytes

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Build the array from the parts that numpy writes."""
        _version, shape, dtype, is_fortran, raw = state
        flat = np.frombuffer(self._as_bytes(raw), dtype=dtype.dtype)
        self._array: np.ndarray = flat.reshape(shape, order="F" if is_fortran else "C")

    def to_array(self) -> np.ndarray:
        """The array; an AttributeError if the pickle set no state."""
        return self._array


class DictStandIn(dict):
    """Stands in for collections.OrderedDict; what a pickle sets beside the items (torch's versions) is left out."""

    def __setstate__(self, state: object) -> None:
        """Take nothing over."""


class PassedOver(StandIn):
    """Takes the place of an object that a checkpoint holds beside its tensors, e.g. the arguments of the training.

    Nothing of it is kept but what it was; whatever a pickle does to it has no effect.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __setstate__(self, state: object) -> None:
        """Take nothing over."""

    def append(self, _item: object) -> None:
        """Take nothing over."""

    def extend(self, _items: object) -> None:
        """Take nothing over."""


def plain(value: object) -> object:
    """What a pickle held, with arrays in the place of their stand-ins.

    Args:
        value: what an unpickler returned.

    Returns:
        Nested dict, list, tuple, numpy array, str, bytes, int, float, bool, None, `PassedOver`.

    Raises:
        ValueError: the value is, or contains, something else.
        RecursionError: it is nested too deeply, or contains itself.
    """
    return _plain(value, {})


def _plain(value: object, known: dict[int, object]) -> object:
    # Without the memory, a few lists that each hold the next one twice would be walked for ever.
    if id(value) not in known:
        known[id(value)] = _plain_copy(value, known)
    return known[id(value)]


def _plain_copy(value: object, known: dict[int, object]) -> object:
    if isinstance(value, dict):
        return {key: _plain(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, known) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item, known) for item in value)
    if isinstance(value, ArrayStandIn):
        return value.to_array()
    if value is None or isinstance(value, str | bytes | int | float | np.generic | PassedOver):
        return value
    raise ValueError(f"it holds a {type(value).__name__}, which is neither array, container nor plain value")
