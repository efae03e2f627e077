"""Similarities between all images, or between a few and all, one tile at a time."""

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ppreid.base.environment import float32_products
from ppreid.base.errors import DataError, unknown_choice
from ppreid.neighbours.ranking import Ranking, Tile

Matmul = Callable[[np.ndarray, np.ndarray], np.ndarray]

# 4096 x 4096 similarities are 64 MB, and large enough for the matrix product to run at full speed.
ROWS_PER_TILE = 4096


def exact_tiles(features: np.ndarray, *, matmul: Matmul, rows: range | None = None) -> Iterator[Tile]:
    """All similarities; the product of two blocks is computed once and serves both, since cosine is symmetric.

    Args:
        features: (N, D) unit rows, float32 or float16.
        matmul: maps (R, D) and (C, D) float32 to their (R, C) products; see `choose_matmul`.
        rows: whole blocks whose tiles alone are wanted; None wants all.

    Yields:
        Tiles that cover every ordered pair of images once.
    """
    wanted, all_blocks = range(len(features)) if rows is None else rows, blocks(len(features))
    for a, first in enumerate(all_blocks):
        # in this order also where only the second is wanted: the last bits of a product hang on its place
        partners = [block for block in all_blocks[a:] if first[0] in wanted or block[0] in wanted]
        row_features = _float32(features[first[0] : first[-1] + 1])
        for second in partners:
            scores = matmul(row_features, _float32(features[second[0] : second[-1] + 1]))  # (R, C)
            if first[0] in wanted:
                yield Tile(scores, first, second)
            if second is not first and second[0] in wanted:
                yield Tile(scores.T, second, first)


def blocks(num_rows: int) -> list[np.ndarray]:
    """The numbers of the rows, 4096 (`ROWS_PER_TILE`) at a time."""
    return chunks(np.arange(num_rows))


def num_tiles(num_rows: int, rows: range | None = None) -> int:
    """How many tiles `exact_tiles` gives."""
    return len(blocks(num_rows)) * len(blocks(num_rows if rows is None else len(rows)))


def nearest_of_sample(
    features: np.ndarray, sample: np.ndarray, rankings: Sequence[Ranking], *, matmul: Matmul, spare: int = 0
) -> list[np.ndarray]:
    """The images most similar to a few, among all.

    Args:
        features: (N, D) rows, float32 or float16.
        sample: (S,) image numbers.
        rankings: what is looked for, see `Ranking`; they stay as they are.
        matmul: as in `exact_tiles`.
        spare: places beyond those of the rankings.

    Returns:
        For each ranking image numbers (S, k + spare), -1 where there are too few.
    """
    found = [ranking.like(spare=spare, rows=range(0)) for ranking in rankings]
    for ranking in found:
        ranking.forget(sample)
    queries = _float32(features[sample])
    for columns in blocks(len(features)):
        tile = Tile(matmul(queries, _float32(features[columns[0] : columns[-1] + 1])), sample, columns)
        for ranking in found:
            ranking.merge(tile)
    return [ranking.indices[sample] for ranking in found]


def choose_backend(backend: str) -> str:
    """The device to search on.

    Args:
        backend: "cpu" (numpy's BLAS), "paddle" (Paddle's current device) or "auto": Paddle when the program has
            selected a GPU in it, the CPU otherwise.

    Returns:
        "cpu" or "paddle"; only "paddle" imports Paddle.

    Raises:
        DataError: the backend is unknown.
    """
    if backend == "auto":
        paddle = sys.modules.get("paddle")  # who has not imported it has selected no GPU in it
        backend = "paddle" if paddle is not None and paddle.get_device().startswith("gpu") else "cpu"
    if backend not in _MATMULS:
        raise DataError(unknown_choice("backend", backend, ["auto", *_MATMULS]))
    return backend


def choose_matmul(backend: str) -> Matmul:
    """The matrix product of the device that `choose_backend` says."""
    return _MATMULS[choose_backend(backend)]


def _cpu_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T


def _paddle_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    import paddle  # the CPU path must not need it

    float32_products(paddle.base.core)  # here too: who calls this from a program of his own need not know of it
    return paddle.matmul(paddle.to_tensor(a), paddle.to_tensor(b), transpose_y=True).numpy()


_MATMULS: dict[str, Matmul] = {"cpu": _cpu_matmul, "paddle": _paddle_matmul}


def chunks(numbers: np.ndarray) -> list[np.ndarray]:
    """Numbers in their order, 4096 (`ROWS_PER_TILE`) at a time."""
    return [numbers[start : start + ROWS_PER_TILE] for start in range(0, len(numbers), ROWS_PER_TILE)]


def _float32(block: np.ndarray) -> np.ndarray:
    return block.astype(np.float32, copy=False)
