"""The best candidates of every image: collected from tiles of similarities, or found on Paddle's device."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ppreid.base.environment import float32_products
from ppreid.base.progress import progress
from ppreid.neighbours.compiled import part_bounds, readable
from ppreid.neighbours.similarity_kernels import keep_best, try_neighbours_of_neighbours

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
        similarities: (N, k) float32, descending if `in_order`; -inf where fewer than k candidates came.
        indices: (N, k) int32; -1 where fewer than k candidates came.
        groups: (N,) group of every image.
        same_group: whether candidates are of the image's own group or of all others.
        in_order: whether rankings are sorted, equal ones by number; otherwise any of those equal at the end is kept.
        rows: the images whose rankings are wanted; what the others have means nothing.
    """

    def __init__(
        self, groups: np.ndarray, k: int, *, same_group: bool, in_order: bool = True, rows: range | None = None
    ) -> None:
        """Start without candidates.

        Args:
            groups: (N,) int64 group of every image, for example its camera; all zero when there are no groups.
            k: number of candidates to keep.
            same_group: True keeps candidates of the image's own group, False those of all other groups.
            in_order: False is faster for many places.
            rows: the images whose rankings are wanted; None wants all.
        """
        self.rows = range(len(groups)) if rows is None else rows
        # of rows that nobody wants no memory is touched
        self.similarities, self.indices = np.empty((len(groups), k), np.float32), np.empty((len(groups), k), np.int32)
        self.forget(slice(self.rows.start, self.rows.stop))
        self.groups = groups
        self.same_group = same_group
        self.in_order = in_order

    def like(self, *, spare: int, rows: range | None = None, in_order: bool = True) -> "Ranking":
        """An empty ranking of the same kind with more places; rows and in_order as for a new one."""
        k = self.indices.shape[1] + spare
        return Ranking(self.groups, k, same_group=self.same_group, in_order=in_order, rows=rows)

    def merge(self, tile: Tile) -> None:
        """Take the candidates of one tile into account, each once; an image is never its own candidate."""
        if self.indices.shape[1]:
            strip = 1 if tile.scores.flags.c_contiguous else STRIP  # a transposed tile is contiguous along its columns
            kind = self.groups, self.same_group, self.in_order
            keep_best(*tile, strip, *kind, self.similarities, self.indices)

    def refine(self, features: np.ndarray, found: np.ndarray) -> None:
        """Take the neighbours of every image's neighbours into account, which a search through lists may have missed.

        Args:
            features: (N, D) unit rows, float32 or float16, C-contiguous.
            found: (N, m) int32 neighbours to follow, of any group; -1 is an empty place.

        Reference:
            Dong et al., "Efficient k-nearest neighbor graph construction for generic similarity measures", WWW 2011.
        """
        if self.indices.shape[1]:
            # a copy: found is usually a view of the very indices that change while it is followed
            found, parts = np.array(found, order="C"), part_bounds(len(found))
            groups = self.groups, self.same_group
            try_neighbours_of_neighbours(readable(features), found, parts, *groups, self.similarities, self.indices)

    def forget(self, rows: np.ndarray | slice) -> None:
        """Leave some images, by number, without candidates again."""
        self.similarities[rows], self.indices[rows] = -np.inf, -1

    def with_self_first(self) -> tuple[np.ndarray, np.ndarray]:
        """Similarities and indices (rows, 1 + k) with the image itself, similarity 1, in column 0."""
        # put there rather than found: a duplicate has the same similarity, and rounding could rank it before the image
        rows = slice(self.rows.start, self.rows.stop)
        ones = np.ones((len(self.rows), 1), np.float32)
        own = np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]
        return np.hstack([ones, self.similarities[rows]]), np.hstack([own, self.indices[rows]])


ROWS_PER_BLOCK = 8192  # 8192 x 8192 similarities are 256 MB on the device


def rank_on_device(features: np.ndarray, rankings: Sequence[Ranking]) -> None:
    """Fill rankings with the most similar images, all from one pass over the products.

    Args:
        features: (N, D) unit rows, float32 or float16, possibly memory-mapped; read block by block.
        rankings: empty rankings over the N images, of the same rows, which begin where a block does; filled in place.

    Note:
        Of candidates with exactly equal similarity at the last place any may be kept, where the CPU search keeps the
        lowest image number.
    """
    import paddle  # the CPU path must not need it

    float32_products(paddle.base.core)
    groups = [paddle.to_tensor(ranking.groups) for ranking in rankings]
    wanted = rankings[0].rows
    starts = range(wanted.start, wanted.stop, ROWS_PER_BLOCK)
    for start in progress(starts, total=len(starts), description="neighbours", unit="block"):
        rows = slice(start, min(start + ROWS_PER_BLOCK, wanted.stop))
        row_features = _upload(features[rows])
        best = [_Best(rows.stop - start, ranking.indices.shape[1]) for ranking in rankings]
        for first in range(0, len(features), ROWS_PER_BLOCK):
            columns = slice(first, min(first + ROWS_PER_BLOCK, len(features)))
            # uploaded anew for every block of rows, since a device need not have room for all features
            scores = paddle.matmul(row_features, _upload(features[columns]), transpose_y=True)  # (R, C)
            if first == start:
                scores.fill_diagonal_(-np.inf)  # an image is never its own candidate
            for ranking, group, kept in zip(rankings, groups, best, strict=True):
                same = group[rows].unsqueeze(1) == group[columns]  # (R, C)
                allowed = same if ranking.same_group else paddle.logical_not(same)
                kept.add(paddle.where(allowed, scores, paddle.full_like(scores, -np.inf)), first)
        for ranking, kept in zip(rankings, best, strict=True):
            ranking.similarities[rows], ranking.indices[rows] = kept.on_host()


class _Best:
    """The k best candidates of a block of rows so far, on the device."""

    def __init__(self, num_rows: int, k: int) -> None:
        import paddle

        self.scores = paddle.full([num_rows, k], -np.inf)
        self.indices = paddle.full([num_rows, k], -1, dtype="int64")

    def add(self, scores: "paddle.Tensor", first: int) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Take scores (R, C) of the images first, first + 1, ... into account."""
        import paddle

        k = self.scores.shape[1]
        if k == 0:
            return
        # k columns of the block are kept before the two are joined: a copy of all its scores would be thrown away
        best, columns = paddle.topk(scores, min(k, scores.shape[1]), axis=1)
        both = paddle.concat([self.scores, best], axis=1)
        self.scores, places = paddle.topk(both, k, axis=1)
        self.indices = paddle.take_along_axis(paddle.concat([self.indices, columns + first], axis=1), places, axis=1)

    def on_host(self) -> tuple[np.ndarray, np.ndarray]:
        """Similarities and indices (R, k); -inf and -1 where there were too few candidates."""
        scores = self.scores.numpy()
        return scores, np.where(np.isneginf(scores), -1, self.indices.numpy()).astype(np.int32)


def _upload(block: np.ndarray) -> "paddle.Tensor":  # type: ignore[name-defined]  # noqa: F821
    import paddle

    return paddle.to_tensor(np.asarray(block, dtype=np.float32))
