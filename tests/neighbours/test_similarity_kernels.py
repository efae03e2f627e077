"""Dot products of float32 and float16 rows."""

import numpy as np
import pytest

from ppreid.neighbours.compiled import readable
from ppreid.neighbours.similarity_kernels import dot


def test_every_finite_float16_is_read_exactly():
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    one = np.ones(1, np.float16)
    read = [dot(readable(numbers[i : i + 1]), readable(one)) for i in range(len(numbers))]
    np.testing.assert_array_equal(np.array(read, np.float32), numbers.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dim", [1, 7, 2048])
def test_equals_numpy(dtype, dim):
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, dim)).astype(dtype) / np.sqrt(dim).astype(dtype)
    expected = np.dot(a.astype(np.float64), b.astype(np.float64))
    assert dot(readable(a), readable(b)) == pytest.approx(expected, abs=2e-7)
    assert dot(readable(a), readable(b)) == dot(readable(b), readable(a))
