"""Reading pickled weights as data: only arrays, containers and plain values, never code.

A pickle is a program that may call any importable function. Paddle's .pdparams files and PyTorch's files are pickles,
yet an honest one calls only a handful of functions, all to rebuild arrays. The unpickler below answers these names with
functions of its own; any other name ends the reading. Nor can a small file ask for much memory or time.
"""

import pickle
from collections.abc import Mapping
from io import BytesIO
from mmap import mmap
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ppreid.base.errors import WeightsError, printable
from ppreid.weights.untrusted import (
    PASSED_OVER,
    DictStandIn,
    DTypeStandIn,
    FunctionStandIn,
    NumpyArrayStandIn,
    PassedOver,
    check_opcodes,
    explained_damage,
    mapped,
    plain,
)

# Keys of a dict that are numbers, e.g. of the parameters in an optimizer's state. Python's hash of a number is nearly
# the number itself: whoever may choose many of them makes every one collide with all before.
MAX_NUMBER_KEYS, MAX_NUMBER_KEY = 10_000, 2**31


def load_arrays(path: str | Path) -> object:
    """Read a pickle that holds numpy arrays, containers and plain values.

    Args:
        path: the file, e.g. a .pdparams file of any Paddle 2 or 3.

    Returns:
        What the file holds: nested dict, list, tuple, numpy array, str, bytes, int, float, bool, None, and a
        `PassedOver` for every record of settings. Arrays are read-only.

    Raises:
        WeightsError: the file is damaged, or refers to anything but the functions that rebuild an array.
    """
    path = Path(path)
    with explained_damage(path, "a pickle of arrays"), mapped(path) as content:
        return plain(ArrayUnpickler(content, path).read())


_Machine: Any = pickle._Unpickler  # the standard library's in Python; its stubs leave out what is used below


class ArrayUnpickler(_Machine):
    """Unpickler that knows no functions but its own.

    The machine is the one in Python and not the one in C, because it lets the keys of dicts be looked at before they
    are hashed: to hash a tuple that holds the next one twice, sixty levels deep, takes longer than anybody lives.

    Args:
        content: the pickle, from its current position; a read of too many bytes must be free (see `mapped`).
        path: the file, for messages.
    """

    def __init__(self, content: BytesIO | mmap, path: Path) -> None:
        super().__init__(content, encoding="latin1")  # Python 2 pickles hold raw bytes as text
        self._content = content
        self._path = path
        self._num_copied = self._size = self._num_number_keys = 0
        self._stand_ins = self.stand_ins()

    def read(self) -> object:
        """Read one pickle; the position is behind it afterwards. Pass what it returns to `plain`.

        Raises:
            WeightsError: the pickle asks for what it must not have.
            Exception: one of DAMAGED.
        """
        start = self._content.tell()
        check_opcodes(self._content)
        self._size = self._content.tell() - start
        self._content.seek(start)
        return self.load()

    def stand_ins(self) -> Mapping[str, object]:
        """What answers the names in a pickle: functions, and text where a name is only ever an argument."""
        return {
            "numpy.core.multiarray._reconstruct": self._new_array,
            "numpy._core.multiarray._reconstruct": self._new_array,
            "numpy.core.numeric._frombuffer": self._new_filled_array,  # protocol 5
            "numpy._core.numeric._frombuffer": self._new_filled_array,
            "numpy.core.multiarray.scalar": self._new_scalar,
            "numpy._core.multiarray.scalar": self._new_scalar,
            "numpy.ndarray": "numpy.ndarray",  # an argument of _reconstruct
            "numpy.dtype": self._new_dtype,
            "_codecs.encode": self._encode_latin1,  # how protocol 2 stores bytes
            "__builtin__.bytes": self._no_bytes,  # and how it stores none at all
            "collections.OrderedDict": self._new_dict,
            "collections.defaultdict": lambda *_factory: self._new_dict(),
            "copyreg._reconstructor": self._new_passed_over,  # how old protocols make an object
            "copy_reg._reconstructor": self._new_passed_over,
            "builtins.object": "object",  # an argument of _reconstructor
            "__builtin__.object": "object",
            "builtins.tuple": self._new_tuple,  # paddle.save stores a nested tensor as tuple((name, array))
            "__builtin__.tuple": self._new_tuple,
        }

    def find_class(self, module: str, name: str) -> object:
        """Answer the names that rebuild arrays and containers; refuse every other one."""
        full_name = f"{module}.{name}"
        if full_name in PASSED_OVER:
            return FunctionStandIn(lambda *_arguments: PassedOver(full_name))
        if full_name not in self._stand_ins:
            raise WeightsError(
                f"{self._path} was refused: the pickle asks for {printable(full_name)[:200]}, but weights may only "
                "contain arrays, containers and plain values. Nothing of it was run; ask a source that you trust for "
                ".safetensors"
            )
        stand_in = self._stand_ins[full_name]
        return FunctionStandIn(stand_in) if callable(stand_in) else stand_in

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._put(self.stack[-1], items)

    def _new_object(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, FunctionStandIn):
            raise ValueError(f"it makes an object of a {type(function).__name__}")
        self.append(function(*arguments))

    def _refuse_set(self) -> None:
        raise ValueError("it holds a set")

    def _push_dict(self) -> None:
        mapping: dict[Any, Any] = {}
        self._put(mapping, self.pop_mark())
        self.append(mapping)

    dispatch: ClassVar[dict[int, Any]] = {
        **_Machine.dispatch,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _push_dict,
        pickle.NEWOBJ[0]: _new_object,
        **dict.fromkeys((pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0]), _refuse_set),
    }

    def _copying(self, num_items: int) -> None:
        # Honest pickles copy everything at most once; one short opcode could copy a large object again and again.
        self._num_copied += num_items
        if self._num_copied > self._size:
            raise ValueError("it asks for more memory than its size explains")

    def _put(self, mapping: object, items: list[Any]) -> None:
        """Put keys and values that take turns into a dict; keys are looked at before they are hashed."""
        if isinstance(mapping, PassedOver):
            return
        if not isinstance(mapping, dict):
            raise ValueError(f"it sets items of a {type(mapping).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is int:
                self._num_number_keys += 1
                if self._num_number_keys > MAX_NUMBER_KEYS or abs(key) >= MAX_NUMBER_KEY:
                    raise ValueError("it holds a dict with too many or too large numbers as keys")
            elif not isinstance(key, str | bool):
                raise ValueError(f"it holds a dict with a {type(key).__name__} as key")
            mapping[key] = value

    def _new_array(self, _subtype: object, _shape: object, _type_code: object) -> NumpyArrayStandIn:
        return NumpyArrayStandIn(self._as_bytes)

    def _new_filled_array(
        self, raw: bytes | bytearray, dtype: DTypeStandIn, shape: tuple[int, ...], order: str
    ) -> NumpyArrayStandIn:
        array = self._new_array(None, None, None)
        array.__setstate__((1, shape, dtype, order == "F", raw))
        return array

    def _new_scalar(self, dtype: DTypeStandIn, raw: bytes | str) -> np.generic:
        return np.frombuffer(self._as_bytes(raw), dtype=dtype.dtype)[0]

    def _new_dtype(self, code: str, _align: object, _copy: object) -> DTypeStandIn:
        return DTypeStandIn(code)

    def _new_dict(self, items: list[Any] | tuple[Any, ...] = ()) -> dict[Any, Any]:
        self._copying(len(items))
        mapping = DictStandIn()
        for key, value in items:
            self._put(mapping, [key, value])
        return mapping

    def _new_passed_over(self, kind: FunctionStandIn, _base: object, _state: object) -> object:
        found = kind()
        if not isinstance(found, PassedOver):
            raise ValueError("it makes an object that is no record of settings")
        return found

    def _new_tuple(self, items: list[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
        self._copying(len(items))
        return tuple(items)

    def _encode_latin1(self, text: str, _encoding: str) -> bytes:
        return self._as_bytes(text)

    def _no_bytes(self) -> bytes:
        return b""

    def _as_bytes(self, raw: bytes | bytearray | str) -> bytes:
        if isinstance(raw, bytes):
            return raw
        self._copying(len(raw))
        return raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
