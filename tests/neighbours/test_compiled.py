"""The frame of the compiled kernels."""

import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.neighbours.compiled import compiled, fill_rows, part_bounds


def test_rows_are_counted_then_filled():
    def kernel(sizes, indptr, indices, values, fill):
        for i, size in enumerate(sizes):
            if fill:
                indices[indptr[i] : indptr[i] + size] = i
                values[indptr[i] : indptr[i] + size] = 0.5
            else:
                indptr[i + 1] = size

    rows = fill_rows(kernel, 3, [2, 0, 1], with_values=True)
    assert rows.indptr.tolist() == [0, 2, 2, 3] and rows.indptr.dtype == np.int64
    assert rows.indices.tolist() == [0, 0, 2] and rows.indices.dtype == np.int32
    assert rows.values.tolist() == [0.5, 0.5, 0.5] and rows.values.dtype == np.float32


@pytest.mark.parametrize("num_rows", [1, 2, 7, 1000])
def test_parts_cover_every_row_once(num_rows):
    bounds = part_bounds(num_rows)
    assert bounds[0] == 0 and bounds[-1] == num_rows
    assert np.all(np.diff(bounds) >= 1)


def test_more_images_than_32_bits_can_number():
    with pytest.raises(DataError, match="2,147,483,648 images are too many"):
        part_bounds(2**31)


def test_works_without_a_folder_for_the_cache(monkeypatch):
    njit = numba.njit

    def without_cache(function, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'twice': no locator available for file")
        return njit(function, **options)

    monkeypatch.setattr(numba, "njit", without_cache)

    @compiled
    def twice(values: np.ndarray) -> None:
        for i in numba.prange(len(values)):
            values[i] *= 2

    values = np.arange(3)
    twice(values)
    assert values.tolist() == [0, 2, 4]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be kept on one processor here")
@pytest.mark.parametrize("what", ["fork", "thread"])
def test_a_process_on_one_processor_ends(what):
    """TBB would wait at its end, forever: after a fork, as for workers of a loader, or a first kernel in a thread."""
    code = f"""
        import os, sys, threading
        os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
        import numpy as np, paddle
        from ppreid.clustering.jaccard import jaccard_distance
        def cluster():
            jaccard_distance(np.eye(9, dtype=np.float32), k1=4, k2=2)
        if {what!r} == "thread":
            thread = threading.Thread(target=cluster); thread.start(); thread.join()
        else:
            cluster()
            if not os.fork():
                os._exit(0)
            os.wait()
        print("end")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=100).stdout.endswith("end\n")
