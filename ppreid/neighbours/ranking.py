"""The best candidates of every image, collected from tiles of similarities in any order."""

from typing import NamedTuple

import numpy as np

from ppreid.neighbours.compiled import part_bounds
from ppreid.neighbours.similarity_kernels import keep_best, readable, try_neighbours_of_neighbours

# Rows of a transposed tile that one thread scans side by side, so that it reads whole cache lines (16 float32 values).
STRIP = 64


class Tile(NamedTuple):
    """Similarities between some images and some candidates.

    Attributes:
        scores: (R, C) float32.
        rows: (R,) int64 image numbers, each at most once.
        columns: (C,) int64 image numbers of the candidates.
    """

    scores: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


class Ranking:
    """The k most similar other images of every image, among those of the same or of different groups.

    Candidates of equal similarity rank by image number, so the result depends neither on the order of the tiles nor on
    the number of threads.

    Attributes:
        similarities: (N, k) float32, descending; -inf where fewer than k candidates came.
        indices: (N, k) int32; -1 where fewer than k candidates came.
        groups: (N,) group of every image.
        same_group: whether candidates are of the image's own group or of all others.
    """

    def __init__(self, groups: np.ndarray, k: int, *, same_group: bool) -> None:
        """Start without candidates.

        Args:
            groups: (N,) int64 group of every image, for example its camera; all zero when there are no groups.
            k: number of candidates to keep.
            same_group: True keeps candidates of the image's own group, False those of all other groups.
        """
        self.similarities = np.full((len(groups), k), -np.inf, np.float32)
        self.indices = np.full((len(groups), k), -1, np.int32)
        self.groups = groups
        self.same_group = same_group

    def merge(self, tile: Tile) -> None:
        """Take the candidates of one tile into account; an image is never its own candidate."""
        if self.indices.shape[1]:
            strip = 1 if tile.scores.flags.c_contiguous else STRIP
            keep_best(*tile, strip, self.groups, self.same_group, self.similarities, self.indices)

    def refine(self, features: np.ndarray, found: np.ndarray) -> None:
        """Take the neighbours of every image's neighbours into account, which a search through lists may have missed.

        Args:
            features: (N, D) unit rows, float32 or float16, C-contiguous.
            found: (N, m) int32 neighbours to follow, of any group; -1 is an empty place.

        Reference:
            Dong et al., "Efficient k-nearest neighbor graph construction for generic similarity measures", WWW 2011.
        """
        if self.indices.shape[1]:
            found, parts = np.array(found, order="C"), part_bounds(len(found))
            groups = self.groups, self.same_group
            try_neighbours_of_neighbours(readable(features), found, parts, *groups, self.similarities, self.indices)

    def with_self_first(self) -> tuple[np.ndarray, np.ndarray]:
        """Similarities and indices (N, 1 + k) with the image itself, similarity 1, in column 0."""
        n = len(self.indices)
        ones = np.ones((n, 1), np.float32)
        own = np.arange(n, dtype=np.int32)[:, None]
        return np.hstack([ones, self.similarities]), np.hstack([own, self.indices])
