"""Features in two dimensions, to look at."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

_PERPLEXITY = 30


def pca_map(features: np.ndarray, *, seed: int) -> np.ndarray:
    """The two directions of the largest variance.

    Args:
        features: (N, D), N at least 1.
        seed: of the solver.

    Returns:
        (N, 2) within [0, 1], with one scale for both axes.
    """
    if len(features) < 2:
        return np.full((len(features), 2), 0.5)
    parts = min(2, *features.shape)
    points = PCA(parts, svd_solver="randomized", random_state=seed).fit_transform(features)
    return _unit_square(np.pad(points, ((0, 0), (0, 2 - parts))))


def tsne_map(features: np.ndarray, *, seed: int) -> np.ndarray:
    """t-SNE, started from PCA: neighbours stay together, distances between groups mean little.

    Args:
        features: (N, D), N at least 1.
        seed: of the optimisation.

    Returns:
        (N, 2) within [0, 1], with one scale for both axes. With fewer than 4 images the same as `pca_map`.

    Reference:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    if len(features) < 4 or features.shape[1] < 2:
        return pca_map(features, seed=seed)
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    return _unit_square(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(features))


def _unit_square(points: np.ndarray) -> np.ndarray:
    """Shift and scale points (N, 2) into the middle of the unit square."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return (points - (low + high) / 2) / size + 0.5
