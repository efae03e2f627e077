"""The textbook way to pseudo labels, for comparison: dense N x N matrices and one Python iteration per image."""

import numpy as np
from sklearn.cluster import DBSCAN


def dense_pseudo_labels(features: np.ndarray, *, k1: int, k2: int, eps: float, min_samples: int) -> np.ndarray:
    """DBSCAN labels (N,) from the dense k-reciprocal Jaccard distance of (N, D) float32 unit rows."""
    n = len(features)
    squared = 2 - 2 * (features @ features.T)  # (N, N)
    np.fill_diagonal(squared, -1)  # the image itself comes first
    ranking = np.argpartition(squared, range(k1), axis=1)[:, :k1]
    np.fill_diagonal(squared, 0)
    full = [_reciprocal(ranking, i, k1) for i in range(n)]
    half = [_reciprocal(ranking, i, round(k1 / 2) + 1) for i in range(n)]
    weights = np.zeros((n, n), np.float32)
    for i in range(n):
        added = [half[c] for c in full[i] if 3 * len(np.intersect1d(half[c], full[i])) > 2 * len(half[c])]
        members = np.unique(np.concatenate([full[i], *added]))
        exponentials = np.exp(-squared[i, members])
        weights[i, members] = exponentials / exponentials.sum()
    weights = np.stack([weights[ranking[i, :k2]].mean(axis=0) for i in range(n)])
    containing = [np.flatnonzero(weights[:, j]) for j in range(n)]
    distances = squared  # reuse the memory
    for i in range(n):
        shared = np.zeros(n, np.float32)
        for j in np.flatnonzero(weights[i]):
            shared[containing[j]] += np.minimum(weights[i, j], weights[containing[j], j])
        distances[i] = np.maximum(1 - shared / (2 - shared), 0)
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(distances)


def _reciprocal(ranking: np.ndarray, i: int, k: int) -> np.ndarray:
    candidates = ranking[i, :k]
    return candidates[np.any(ranking[candidates, :k] == i, axis=1)]
