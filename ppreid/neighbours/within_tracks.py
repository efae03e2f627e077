"""Features in which what changes within a track counts less: pose, light, what stands in the way.

All images of a track are one person, so whatever differs between them says nothing about who it is. No label is needed.

Reference:
    Hatch, Kajarekar, Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", Interspeech
    2006; here a track is what a class is there.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from ppreid.base.errors import DataError


class WithinTracks:
    """A linear map learned from tracks, after which all directions change alike within them.

    Attributes:
        lower: (D, D) float64, lower triangular, the diagonal above 0; the map is its inverse.
    """

    def __init__(self, lower: np.ndarray) -> None:
        """Take up what was learned before; see `lower`."""
        self.lower = lower

    @classmethod
    def learned(cls, features: np.ndarray, tracks: np.ndarray, *, shrinkage: float = 1.0) -> WithinTracks:
        """Learn it.

        With S the sum over the tracks of the covariance of their features, each about the mean of its track, the map
        is the inverse of L, where L L' = S + shrinkage * trace(S) / D.

        Args:
            features: (N, D) unit rows.
            tracks: (N,) track of every image, -1 unknown; those of a single image tell nothing.
            shrinkage: how much all directions are taken to change alike, above 0; large values change nothing.

        Raises:
            DataError: no track has two images that differ.
        """
        features, tracks = np.asarray(features, dtype=np.float64), np.asarray(tracks)
        known = np.flatnonzero(tracks >= 0)
        order = known[np.argsort(tracks[known], kind="stable")]
        starts = np.flatnonzero(np.diff(tracks[order], prepend=-1))
        sizes = np.diff(starts, append=len(order))
        if len(order):
            means = np.add.reduceat(features[order], starts) / sizes[:, None]  # (T, D)
            away = (features[order] - np.repeat(means, sizes, axis=0)) / np.sqrt(np.repeat(sizes, sizes))[:, None]
            covariance = away.T @ away  # (D, D)
        if not len(order) or (spread := np.trace(covariance) / len(covariance)) <= 0:
            raise DataError(
                "no track has two images that differ, so that nothing is known of what changes within tracks; give a "
                "tracks.csv or data.track_pattern (docs/own-cameras.md), or set eval.within_tracks: off"
            )
        return cls(cholesky(covariance + shrinkage * spread * np.eye(len(covariance)), lower=True))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (n, D) to float32 unit rows (n, D); a row of zeros stays one."""
        mapped = solve_triangular(self.lower, np.asarray(features, dtype=np.float64).T, lower=True).T
        norms = np.linalg.norm(mapped, axis=1, keepdims=True)
        return (mapped / np.maximum(norms, np.finfo(np.float64).tiny)).astype(np.float32)
