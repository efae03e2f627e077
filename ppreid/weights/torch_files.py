"""PyTorch's weights files read without PyTorch, and without running anything in them.

torch.save writes a pickle in which every tensor is a view (offset, shape, strides) of a storage; the numbers of the
storages follow outside of the pickle. There are two layouts: a zip archive (torch 1.6 and later), and before that a
sequence of pickles with the storages behind them, which is still written on request.

Reference:
    The layout is that of torch/serialization.py.
"""

import math
import os
import zipfile
from collections.abc import Mapping
from io import BytesIO
from mmap import mmap
from pathlib import Path
from typing import Literal

import numpy as np

from ppreid.weights.safe_pickle import ArrayUnpickler
from ppreid.weights.untrusted import ArrayStandIn, StandIn, explained_damage, mapped, plain

ARCHIVE_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file in the layout without an archive
MAX_DIMENSIONS = 32
BYTE_ORDERS: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}

# Element types by the name of their storage class; numpy has no bfloat16, see _Storage.fill.
ELEMENT_TYPES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}


def load_torch(path: str | Path) -> object:
    """Read a file that torch.save wrote from tensors, containers and plain values.

    Args:
        path: a file of any suffix, in either layout.

    Returns:
        What the file holds: nested dict, list, tuple, numpy array, str, bytes, int, float, bool, None.
        Arrays are read-only; bfloat16 comes back as float32, which holds every bfloat16 number exactly.

    Raises:
        WeightsError: the file is damaged, or refers to anything but the functions that rebuild tensors and arrays.
    """
    path = Path(path)
    with explained_damage(path, "a PyTorch file"), mapped(path) as content:
        return _load_archive(path) if content[:4] == ARCHIVE_MAGIC else _load_legacy(path, content)


def _load_archive(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        _check_entries(archive.infolist(), os.path.getsize(path))
        folders = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
        if any(name.endswith("/constants.pkl") for name in entries):
            raise ValueError("it holds a program (TorchScript); save the state_dict() of the network")
        if not folders and any(name.endswith(".npy") for name in entries):
            raise ValueError("it holds numpy arrays (.npz); write them as .safetensors")
        if len(folders) != 1:
            raise ValueError(f"the archive holds {len(folders)} entries data.pkl, expected 1")
        folder = folders[0]
        unpickler = _TorchUnpickler(BytesIO(archive.read(f"{folder}/data.pkl")), path)
        content = unpickler.read()
        byte_order = archive.read(f"{folder}/byteorder").decode() if f"{folder}/byteorder" in entries else "little"
        for key, storage in unpickler.storages.items():
            storage.fill(archive.read(f"{folder}/data/{key}"), byte_order)
        return plain(content)


def _check_entries(entries: list[zipfile.ZipInfo], file_size: int) -> None:
    """Refuse archives that are larger inside than outside."""
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise ValueError(f"the entry {entry.filename} is compressed, which torch.save never does")
    total = sum(entry.file_size for entry in entries)
    if total > file_size:
        raise ValueError(f"the archive claims {total:,} bytes in a file of {file_size:,}")


def _load_legacy(path: Path, content: mmap) -> object:
    if _TorchUnpickler(content, path).read() != LEGACY_MAGIC:
        raise ValueError("it begins neither as a zip archive nor with the magic number of torch.save")
    _protocol = _TorchUnpickler(content, path).read()
    system = plain(_TorchUnpickler(content, path).read())
    if not isinstance(system, dict):
        raise ValueError("the description of the machine that wrote it is missing")
    byte_order = "little" if system["little_endian"] else "big"
    unpickler = _TorchUnpickler(content, path)
    root = unpickler.read()
    keys = plain(_TorchUnpickler(content, path).read())
    if not isinstance(keys, list) or sorted(keys) != sorted(unpickler.storages):
        raise ValueError("its list of storages is not that of its tensors")
    for key in keys:
        storage = unpickler.storages[key]
        num_elements = int.from_bytes(content.read(8), "little")
        if num_elements != storage.num_elements:
            raise ValueError(f"storage {key} has {num_elements} elements, expected {storage.num_elements}")
        storage.fill(content.read(storage.num_bytes), byte_order)
    return plain(root)


class _Storage(StandIn):
    """A row of numbers that tensors are views of; the numbers are filled in after the pickle has been read."""

    def __init__(self, element_type: str, num_elements: int) -> None:
        self.element_type = element_type
        self.num_elements = num_elements
        self.values = np.zeros(0, np.float32)  # (num_elements,)

    @property
    def num_bytes(self) -> int:
        return self.num_elements * self._stored_dtype.itemsize

    @property
    def _stored_dtype(self) -> np.dtype:
        return np.dtype("uint16" if self.element_type == "bfloat16" else self.element_type)

    def fill(self, raw: bytes, byte_order: str) -> None:
        """Take the numbers from their bytes; byte_order is a key of BYTE_ORDERS."""
        if len(raw) != self.num_bytes:
            raise ValueError(f"a storage of {self.num_elements} {self.element_type} numbers has {len(raw)} bytes")
        stored = np.frombuffer(raw, self._stored_dtype.newbyteorder(BYTE_ORDERS[byte_order]))
        self.values = stored.astype(self._stored_dtype, copy=False)
        if self.element_type == "bfloat16":  # the upper half of a float32
            self.values = (self.values.astype(np.uint32) << 16).view(np.float32)


class _Tensor(ArrayStandIn):
    """A view of a storage."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self._storage, self._offset, self._shape, self._strides = storage, offset, shape, strides

    def to_array(self) -> np.ndarray:
        """The tensor; its numbers are not copied."""
        values, shape = self._storage.values, self._shape
        self._check(self._storage.num_elements)
        if 0 in shape:
            return np.zeros(shape, values.dtype)
        itemsize = values.itemsize
        view: np.ndarray = np.ndarray(
            shape, values.dtype, values, self._offset * itemsize, tuple(stride * itemsize for stride in self._strides)
        )
        view.flags.writeable = False
        return view

    def _check(self, num_elements: int) -> None:
        """Refuse views that reach beyond the storage, or that are larger than it (strides of 0)."""
        shape, strides = self._shape, self._strides
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
        if not all(type(number) is int and 0 <= number < 2**63 for number in (self._offset, *shape, *strides)):
            raise ValueError("a tensor has an offset, size or stride that is not a number from 0 to 2^63")
        last = self._offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if 0 not in shape and (last >= num_elements or math.prod(shape) > num_elements):
            raise ValueError(
                f"a tensor of shape {shape}, strides {strides} and offset {self._offset} "
                f"does not fit its storage of {num_elements} numbers"
            )


class _TorchUnpickler(ArrayUnpickler):
    """Also knows the functions that rebuild tensors, and collects the storages that the pickle refers to."""

    def __init__(self, content: BytesIO | mmap, path: Path) -> None:
        super().__init__(content, path)
        self.storages: dict[str, _Storage] = {}

    def stand_ins(self) -> Mapping[str, object]:
        """Those of arrays, and those of tensors."""
        return {
            **super().stand_ins(),
            **ELEMENT_TYPES,  # part of a persistent id
            "torch._utils._rebuild_tensor": self._new_tensor,
            "torch._utils._rebuild_tensor_v2": self._new_tensor,
            "torch._utils._rebuild_parameter": self._new_parameter,
        }

    def persistent_load(self, pid: object) -> _Storage:
        """The storage that a persistent id names: ("storage", type, key, device, number of elements)."""
        match pid:
            case ("storage", str(element_type), str(key), str(), int(num_elements), *view) if not any(view):
                if element_type not in ELEMENT_TYPES.values() or not 0 <= num_elements < 2**60:
                    raise ValueError(f"storage {key} has {num_elements} elements of type {element_type!r}")
                storage = self.storages.setdefault(key, _Storage(element_type, num_elements))
                if (storage.element_type, storage.num_elements) != (element_type, num_elements):
                    raise ValueError(f"storage {key} is described in two ways")
                return storage
        raise ValueError("it refers to something outside of the pickle that is not a storage")

    def _new_tensor(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_training: object
    ) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise ValueError(f"a tensor is a view of a {type(storage).__name__}, expected a storage")
        return _Tensor(storage, offset, shape, strides)

    def _new_parameter(self, data: _Tensor, *_training: object) -> _Tensor:
        return data
