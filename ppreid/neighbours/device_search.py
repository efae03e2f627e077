"""Exact search on Paddle's device: products and top-k stay there, only the k best per image come back."""

from collections.abc import Sequence

import numpy as np

from ppreid.base.progress import progress
from ppreid.neighbours.ranking import Ranking

ROWS_PER_BLOCK = 8192  # 8192 x 8192 similarities are 256 MB on the device


def rank_on_device(features: np.ndarray, rankings: Sequence[Ranking]) -> None:
    """Fill rankings with the most similar images, all from one pass over the products.

    Args:
        features: (N, D) unit rows, float32 or float16, possibly memory-mapped; read block by block.
        rankings: empty rankings over the N images; filled in place.

    Note:
        Of candidates with exactly equal similarity at the last place any may be kept, where the CPU search keeps the
        lowest image number.
    """
    import paddle  # the CPU path must not need it

    groups = [paddle.to_tensor(ranking.groups) for ranking in rankings]
    starts = range(0, len(features), ROWS_PER_BLOCK)
    for start in progress(starts, total=len(starts), description="neighbours", unit="block"):
        rows = slice(start, min(start + ROWS_PER_BLOCK, len(features)))
        row_features = _upload(features[rows])
        best = [_Best(rows.stop - start, ranking.indices.shape[1]) for ranking in rankings]
        for first in range(0, len(features), ROWS_PER_BLOCK):
            columns = slice(first, min(first + ROWS_PER_BLOCK, len(features)))
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
