"""What the unpickler hands to a pickle in place of numpy's types and functions."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np


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

    def __init__(self, as_bytes: Callable[[bytes | str], bytes]) -> None:
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
