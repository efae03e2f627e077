"""Files of features: .npy or .npz, with who and where in a CSV beside it."""

import math
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from ppreid.base.errors import DataError, printable, unknown_choice
from ppreid.base.reading import is_there, reading
from ppreid.base.records import ImageRecord
from ppreid.disk.csv_table import cell_seconds, write_csv
from ppreid.disk.files import check_published
from ppreid.disk.text import MAX_DIGITS, cell_number, read_csv

MAX_UNPACKED, MAX_EXPANSION = 100_000_000, 50  # bytes, and times the file; features are hardly compressible

# What numpy and zipfile raise on damaged files, depending on where the damage is.
_DAMAGED = (
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    BadZipFile,
    zlib.error,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TokenError,
)


class Features(NamedTuple):
    """Features and what is known about their images.

    Attributes:
        features: (N, D); an .npy file is memory-mapped, not read.
        names: (N,) paths of the images, or row numbers where the file does not say.
        pids: (N,) int64, -1 unknown.
        camids: (N,) int64, -1 unknown.
        tracks: (N,) int64, -1 unknown; None where the file says nothing of tracks.
        times: (N,) float64 seconds, -1 unknown; None likewise.
    """

    features: np.ndarray
    names: list[str]
    pids: np.ndarray
    camids: np.ndarray
    tracks: np.ndarray | None = None
    times: np.ndarray | None = None


def read_features(path: Path) -> Features:
    """Read features from a file.

    Args:
        path: an .npy file with an array (N, D) and, if there is one, a CSV of the same name with the columns path and
            optionally pid, camid, track and time; or an .npz file with "features" and optionally "paths", "pids" and
            "camids".

    Raises:
        DataError: the file is missing, of another kind or inconsistent.
    """
    arrays = _arrays(path, with_records=True)
    n = len(arrays["features"])
    for name in ("paths", "pids", "camids"):
        if name in arrays and arrays[name].shape != (n,):
            count = arrays[name].size
            raise DataError(f"{path} has {n} features but {count} {name}; they must be one for each image")
    unknown = np.full(n, -1, np.int64)
    return Features(
        arrays["features"],
        [str(name) for name in arrays.get("paths", range(n))],
        arrays.get("pids", unknown).astype(np.int64),
        arrays.get("camids", unknown).astype(np.int64),
        arrays.get("tracks"),
        arrays.get("times"),
    )


def read_feature_rows(path: Path) -> np.ndarray:
    """Read features (N, D) alone: what is known about their images takes more time and memory than they do.

    Args:
        path: as for `read_features`.

    Raises:
        DataError: the file is missing or of another kind.
    """
    return _arrays(path, with_records=False)["features"]


def _arrays(path: Path, *, with_records: bool) -> dict[str, np.ndarray]:
    """The features of a file, and the columns of the CSV beside it if they are wanted."""
    if not is_there(path, DataError):
        raise DataError(f"{path} does not exist; give a file of features, .npy or .npz")
    if path.suffix not in (".npy", ".npz"):
        raise DataError(unknown_choice(f"the suffix of features file {path}", path.suffix, (".npy", ".npz")))
    with reading(path, DataError):
        check_published(path)
    try:
        with reading(path, DataError):
            if path.suffix == ".npz":
                arrays = _read_npz(path)
            else:
                arrays = {"features": _read_npy(path)}
                if with_records:
                    most = arrays["features"].shape[0] if arrays["features"].ndim else 0
                    arrays |= _columns(path.with_suffix(".csv"), most=most)
    except _DAMAGED as error:
        # numpy's own message recommends to unpickle the file, which could run anything
        reason = "it is no such file, or holds Python objects" if "pickle" in str(error) else error
        raise DataError(f"{path} cannot be read as {path.suffix}: {reason}") from None
    if "features" not in arrays or arrays["features"].ndim != 2:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"{path} must hold an array (N, D) named 'features'; found: {found or 'nothing'}")
    if 0 in arrays["features"].shape:  # so many rows of nothing take no byte in the file, and much memory here
        raise DataError(
            f"{path} holds features of shape {arrays['features'].shape}; there must be images and dimensions"
        )
    for name, kinds in (("features", "f"), ("pids", "iu"), ("camids", "iu")):
        if name in arrays and arrays[name].dtype.kind not in kinds:
            raise DataError(f"{path} holds {name} of type {arrays[name].dtype}; features are floats, ids are integers")
        if kinds == "iu" and name in arrays and arrays[name].max(initial=0) >= 10**MAX_DIGITS:
            raise DataError(f"{path} holds {name} of more than {MAX_DIGITS} digits; number them anew")
    return arrays


def write_records(path: Path, records: Sequence[ImageRecord]) -> None:
    """Write the CSV beside a file of features; row i belongs to feature i.

    Its columns are path, pid, camid and, where the track of any image is known, track and time.
    """
    fields = ImageRecord._fields if any(record.track >= 0 for record in records) else ImageRecord._fields[:3]
    write_csv(path, fields, (record[: len(fields)] for record in records))


def npy_header(num_rows: int, dim: int) -> bytes:
    """First bytes of an .npy file with an array (num_rows, dim) float32."""
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (num_rows, dim)})
    return buffer.getvalue()


def _read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, memory-mapped."""
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(found, np.ndarray):
        found.close()
        raise ValueError("it is an archive; name it .npz")
    return found


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, unless they would be far larger in memory than on the disk."""
    with ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(MAX_UNPACKED, MAX_EXPANSION * path.stat().st_size):
        raise ValueError(f"it would take {unpacked:,} bytes of memory; write it with np.savez, which does not compress")
    with ZipFile(path) as archive:
        for entry in archive.infolist():
            _check_member(archive, entry)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _check_member(archive: ZipFile, entry: ZipInfo) -> None:
    """Refuse a member that is no array, or whose header claims more numbers than there are."""
    with archive.open(entry) as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"its member {printable(entry.filename)[:100]} is no array of numpy")
        is_first_version = file.read(2) == b"\x01\x00"
        read_header = np.lib.format.read_array_header_1_0 if is_first_version else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    if math.prod(shape) * max(dtype.itemsize, 1) > entry.file_size:
        raise ValueError(f"its member {printable(entry.filename)[:100]} claims the shape {shape}, and is smaller")


def _columns(path: Path, *, most: int) -> dict[str, np.ndarray]:
    """The columns of a CSV of records as arrays, of at most so many; nothing where there is no such file."""
    if not is_there(path, DataError):
        return {}
    rows = read_csv(path, ["path"], most_rows=most)
    columns = {"paths": np.array([row.cells["path"] for row in rows], dtype=object)}
    for name in ("pid", "camid"):
        if rows and name in rows[0].cells:
            columns[f"{name}s"] = np.array([cell_number(row, name, path) for row in rows], dtype=np.int64)
    if rows and "track" in rows[0].cells and "time" in rows[0].cells:
        columns["tracks"] = np.array([cell_number(row, "track", path) for row in rows], dtype=np.int64)
        columns["times"] = np.array([cell_seconds(row, "time", path) for row in rows], dtype=np.float64)
    return columns
