"""Matrices and reference numbers that several tests of the clustering need."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"


@pytest.fixture
def to_dense() -> Callable[[sparse.csr_matrix], np.ndarray]:
    """Maker of the dense matrix in which a pair that is not stored is at distance 1."""

    def make(distances: sparse.csr_matrix) -> np.ndarray:
        dense = np.ones(distances.shape, distances.dtype)
        entries = distances.tocoo()
        dense[entries.row, entries.col] = entries.data
        return dense

    return make


@pytest.fixture
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Loader of reference numbers made by running the released ISE code; `meta` is decoded."""

    def load(name: str) -> dict:
        with np.load(GOLDENS / f"{name}.npz", allow_pickle=False) as file:
            arrays = dict(file)
        return arrays | {"meta": json.loads(str(arrays["meta"]))}

    return load
