import numpy as np
import pytest


@pytest.fixture(scope="session")
def random_problem():
    """Distances and identities with absent identities, own-camera-only identities, junk and distractors."""

    def make(seed=0, queries=12, gallery=60, levels=None):
        rng = np.random.default_rng(seed)
        distances = rng.random((queries, gallery)).astype(np.float32)
        if levels:  # ties
            distances = np.floor(distances * levels) / np.float32(levels)
        query_pids, gallery_pids = rng.integers(1, 7, queries), rng.integers(-1, 6, gallery)
        return distances, query_pids, gallery_pids, rng.integers(0, 3, queries), rng.integers(0, 3, gallery)

    return make
