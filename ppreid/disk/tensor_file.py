"""Our own file format: arrays plus facts in one safetensors file with a checksum. Nothing in it can run code.

A file is the length of the header (8 bytes, little-endian), the header in JSON, and the numbers. The header is looked
at before anything is done with the file.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ppreid.base.errors import WeightsError, printable
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import replacing

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


CHECKPOINT_PREFIX = "model."  # what a training checkpoint puts before the tensors of the model


class TensorFile(NamedTuple):
    """Contents of a file of ours.

    Attributes:
        tensors: arrays by name.
        facts: JSON values by name; empty for a safetensors file that somebody else wrote.
    """

    tensors: dict[str, np.ndarray]
    facts: dict[str, Any]


def save_tensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any], *, keep_as: Path | None = None
) -> None:
    """Write arrays and facts completely or not at all.

    Args:
        path: file to write or to replace; its folder must exist.
        tensors: arrays by name.
        facts: JSON values by name, e.g. the configuration and the epoch.
        keep_as: name in the same folder for the file that is replaced; None drops it.

    Raises:
        OSError: the file cannot be written; an existing one is left as it was.
    """
    # safetensors stores bytes as they lie in memory; the reshape keeps 0-d arrays, which become 1-d on the way
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    text = json.dumps(facts, allow_nan=False, ensure_ascii=False)
    # one entry: safetensors writes several in random order, and the same contents would give different files
    content = save(arrays, metadata={"ppreid": f"{_digest(arrays, text)} {text}"})
    with replacing(path, keep_as=keep_as) as file:
        file.write(content)


def load_tensors(path: str | Path) -> TensorFile:
    """Read a safetensors file; the checksum of a file of ours is verified.

    Raises:
        WeightsError: the file is missing, is not a safetensors file, or is damaged.
    """
    path = Path(path)
    if not is_there(path, WeightsError):
        raise WeightsError(f"{path} does not exist")
    try:
        with reading(path, WeightsError):
            tensors, metadata = _contents(path)
    except (SafetensorError, ValueError, TypeError, MemoryError) as error:
        text = f"{path} cannot be read as safetensors: {error}. The file is truncated, damaged or of another kind"
        raise WeightsError(text) from None
    if "ppreid" not in metadata:
        return TensorFile(tensors, {})
    digest, _, text = metadata["ppreid"].partition(" ")
    if digest != _digest(tensors, text):
        raise WeightsError(f"{path} is damaged: its contents do not match the checksum in its header")
    return TensorFile(tensors, _facts(path, text))


def read_facts(path: str | Path) -> dict[str, Any]:
    """The facts of a file of ours alone, without its arrays, and therefore without looking at the checksum.

    Returns:
        JSON values by name; nothing for any other file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("ppreid", "")
        facts = json.loads(text.partition(" ")[2])
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a safetensors file; bfloat16 becomes float32, which holds it exactly."""
    header = read_header(path)
    with safe_open(path, framework="numpy") as file:
        tensors = {
            name: read_bfloat16(path, entry) if entry.type_name == BFLOAT16 else file.get_tensor(name)
            for name, entry in header.items()
        }
        return tensors, file.metadata() or {}


def _facts(path: Path, text: str) -> dict[str, Any]:
    """The facts of a file of ours; anybody can write a right checksum, so they may be anything."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise WeightsError(f"{path} is damaged: its facts are no JSON ({reason})") from None
    if not isinstance(facts, dict):
        raise WeightsError(f"{path} is damaged: its facts are a {type(facts).__name__}, expected an object")
    return facts


def _digest(tensors: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 over the facts and over the name, type, shape and bytes of every array."""
    digest = hashlib.sha256(text.encode("utf-8"))
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
