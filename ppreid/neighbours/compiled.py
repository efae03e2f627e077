"""Compilation of the loops over images, and the container that they fill.

All kernels work on int32 columns, int64 row pointers and float32 values: there may be more than 2**31 entries, but not
so many images.
"""

import math
import os
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import numba
import numpy as np

from ppreid.base.errors import DataError

P = ParamSpec("P")
T = TypeVar("T")

# numba takes TBB where something has loaded it, as paddle does. On one processor TBB has no thread for the task that
# starts it: after a fork, or where another thread came first, the process would wait for it at its end, forever.
if numba.config.NUMBA_NUM_THREADS == 1 and "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]

# Kernels that need a scratch array of length N share one between the rows of a part, so that at most as many exist
# at a time as there are threads. More parts than threads even out rows of different cost.
PARTS_PER_THREAD = 8


class SparseRows(NamedTuple):
    """A sparse (N, N) matrix by rows; like scipy's CSR, but with 32-bit columns at any number of entries.

    Attributes:
        indptr: (N + 1,) int64; the entries of row i are at `indptr[i]:indptr[i + 1]`.
        indices: (nnz,) int32 columns.
        values: (nnz,) float32; empty while only the columns matter.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray


def compiled(function: Callable[P, T], *, parallel: bool = True) -> Callable[P, T]:
    """Compile a kernel with numba, by default for all cores, and keep the result on disk.

    The cache lies beside the source or, where that is read-only, in the user's cache folder. Where neither can be
    written the kernel is compiled anew in every process: a few seconds, the same result.
    """
    try:
        return numba.njit(function, parallel=parallel, cache=True)
    except RuntimeError as error:  # numba has no exception of its own for this
        if "cannot cache function" not in str(error):
            raise
        return numba.njit(function, parallel=parallel)


def readable(features: np.ndarray) -> np.ndarray:
    """Features in the form that `dot` takes: float32 as they are, float16 by their bits, without a copy."""
    return features.view(np.uint16) if features.dtype == np.float16 else features


def fill_rows(kernel: Callable[..., None], num_rows: int, *arguments: object, with_values: bool = False) -> SparseRows:
    """Run a kernel twice over all rows: to count the entries of each row, then to write them.

    Args:
        kernel: called as `kernel(*arguments, indptr, indices, values, fill)`. With `fill` False it writes the size of
            row i to `indptr[i + 1]`; with `fill` True it writes the entries of row i from position `indptr[i]` on.
        num_rows: N.
        arguments: what the kernel reads.
        with_values: whether the kernel writes values besides columns.

    Returns:
        The rows, allocated at their exact size.
    """
    indptr = np.zeros(num_rows + 1, np.int64)
    indices, values = np.empty(0, np.int32), np.empty(0, np.float32)
    # Two passes cost time, but lists that grow would need up to twice the memory of the result, which is what limits N.
    kernel(*arguments, indptr, indices, values, False)
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], np.int32)
    if with_values:
        values = np.empty(indptr[-1], np.float32)
    kernel(*arguments, indptr, indices, values, True)
    return SparseRows(indptr, indices, values)


def part_bounds(num_rows: int) -> np.ndarray:
    """Bounds of the parts into which a kernel divides N rows: (parts + 1,) int64.

    Raises:
        DataError: there are more rows than 32-bit columns can number.
    """
    if num_rows >= 2**31:
        raise DataError(f"{num_rows:,} images are too many: image numbers are 32-bit; split the set below {2**31:,}")
    parts = min(num_rows, PARTS_PER_THREAD * numba.get_num_threads())
    return np.array([math.ceil(num_rows * part / parts) for part in range(parts + 1)], np.int64)
