import numpy as np
import pytest


@pytest.fixture(scope="session")
def unit_rows():
    """Random matrix of unit rows, float32."""

    def make(rows, dim, seed=0):
        matrix = np.random.default_rng(seed).standard_normal((rows, dim))
        return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def at_angles():
    """Unit rows in the plane at the given angles in degrees."""

    def make(*degrees):
        radians = np.deg2rad(np.array(degrees, dtype=np.float64))
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)

    return make
