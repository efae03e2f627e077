"""Finding the named tensors in what a pickle held: a state dict, alone or in the checkpoint of some code base."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import WeightsError, printable
from ppreid.weights.stand_ins import PassedOver

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
