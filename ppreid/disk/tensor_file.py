"""Our own file format: arrays plus facts in one safetensors file with a checksum. Nothing in it can run code."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ppreid.base.errors import WeightsError
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import replacing
from ppreid.disk.safetensors_header import BFLOAT16, read_bfloat16, read_header

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
