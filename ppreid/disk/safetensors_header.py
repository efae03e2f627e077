"""The header of a safetensors file, looked at before anything is done with the file.

A file is the length of the header (8 bytes, little-endian), the header in JSON, and the numbers.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.errors import WeightsError, printable

MAX_HEADER = 32_000_000  # bytes; 3,000 tensors and the facts of a long run take less than 1 MB
MAX_TENSORS = 100_000
# what numpy has a type for; the names of the others, e.g. F8_E4M3, F4 and C64, are those of safetensors
NUMPY_TYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
BFLOAT16 = "BF16"


class StoredTensor(NamedTuple):
    """Where a tensor is in its file.

    Attributes:
        type_name: of its numbers, e.g. "F32".
        start: position of its first byte.
        shape: as the header claims; `safetensors` checks that the bytes fit.
    """

    type_name: str
    start: int
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors that a safetensors file lists; what would take long or cannot be read is refused.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        WeightsError: its numbers are of a type that is not read.
        ValueError: the header is too long, is no JSON of this kind, or has a name twice.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, MAX_HEADER):
            raise ValueError(
                f"its header claims {length:,} bytes in a file of {size:,}, at most {MAX_HEADER:,} are read"
            )
        header = _parse(file.read(length))
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it lists {len(header):,} tensors, at most {MAX_TENSORS:,} are read")
    tensors = {name: _entry(name, value, 8 + length) for name, value in header.items()}
    strange = {name: entry.type_name for name, entry in tensors.items() if entry.type_name not in NUMPY_TYPES}
    strange = {name: kind for name, kind in strange.items() if kind != BFLOAT16}
    if strange:
        name, kind = next(iter(strange.items()))
        raise WeightsError(
            f"{path} holds {len(strange)} tensors of a type that is not read (first: {printable(name)[:100]}, "
            f"{printable(kind)[:20]}); write the file again in float16, bfloat16, float32 or float64"
        )
    return tensors


def read_bfloat16(path: Path, tensor: StoredTensor) -> np.ndarray:
    """A tensor that numpy has no type for, as float32, which holds every number of it exactly."""
    count = int(np.prod(tensor.shape, dtype=np.int64))
    stored = np.fromfile(path, "<u2", count, offset=tensor.start)  # the upper halves of float32
    return (stored.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text, object_pairs_hook=_without_repetition)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has a name twice")
    return found


def _entry(name: str, value: object, data_start: int) -> StoredTensor:
    match value:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(start), int()]}:
            if all(type(number) is int and number >= 0 for number in (*shape, start)):
                return StoredTensor(kind, data_start + start, tuple(shape))
    raise ValueError(f"its header describes tensor {name[:100]!r} in another way than safetensors does")
