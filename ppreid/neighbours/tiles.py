"""Similarities between all images, or between those that may be neighbours, one tile at a time."""

import sys
from collections.abc import Callable, Iterator

import numpy as np

from ppreid.base.environment import float32_products
from ppreid.base.errors import DataError, unknown_choice
from ppreid.base.progress import progress
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
    return _chunks(np.arange(num_rows))


def num_tiles(num_rows: int, rows: range | None = None) -> int:
    """How many tiles `exact_tiles` gives."""
    return len(blocks(num_rows)) * len(blocks(num_rows if rows is None else len(rows)))


def inverted_list_tiles(
    features: np.ndarray, *, num_lists: int, num_probes: int, rng: np.random.Generator, matmul: Matmul
) -> Iterator[Tile]:
    """Similarities between every image and the images of the inverted lists that are nearest to it.

    An inverted list holds the images that share their nearest k-means centre. The lists are visited one after the
    other: all images that probe a list are compared with all its members in one matrix product, which is what makes
    this several times faster than asking an index image by image, and needs no copy of the features.

    Args:
        features: (N, D) unit rows, float32 or float16.
        num_lists: number of k-means centres.
        num_probes: number of lists an image is compared with, its own among them.
        rng: draws the images that k-means learns from, and its start.
        matmul: as in `exact_tiles`.

    Yields:
        Tiles that cover every pair of an image and a member of its lists once.
    """
    from ppreid.neighbours.inverted_lists import EVERY_EPOCH, learn_centres

    centres = learn_centres(features, num_lists, learning=EVERY_EPOCH, rng=rng)  # (L, D)
    probes = _nearest_centres(features, centres, num_probes, matmul)  # (N, num_probes)
    members = np.argsort(probes[:, 0], kind="stable")  # ascending in each list, so that files are read front to back
    member_bounds = np.searchsorted(probes[members, 0], np.arange(num_lists + 1))
    visits = np.argsort(probes.ravel(), kind="stable")
    visit_bounds = np.searchsorted(probes.ravel()[visits], np.arange(num_lists + 1))
    for number in progress(range(num_lists), total=num_lists, description="neighbours", unit="list"):
        columns_of_list = members[member_bounds[number] : member_bounds[number + 1]]
        rows_of_list = visits[visit_bounds[number] : visit_bounds[number + 1]] // num_probes  # place to image
        for columns in _chunks(columns_of_list):  # one list may hold most images, if they are all alike
            column_features = _float32(features[columns])
            for rows in _chunks(rows_of_list):
                yield Tile(matmul(_float32(features[rows]), column_features), rows, columns)


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


def _nearest_centres(features: np.ndarray, centres: np.ndarray, num_probes: int, matmul: Matmul) -> np.ndarray:
    nearest = []
    for rows in blocks(len(features)):
        # Centres are numbered behind the images of the block: no image is taken for its own candidate.
        ranking = Ranking(np.zeros(len(rows) + len(centres), np.int64), num_probes, same_group=True)
        numbers = np.arange(len(rows), len(rows) + len(centres))
        ranking.merge(Tile(matmul(_float32(features[rows]), centres), np.arange(len(rows)), numbers))
        nearest.append(ranking.indices[: len(rows)] - len(rows))
    return np.concatenate(nearest)


def _chunks(numbers: np.ndarray) -> list[np.ndarray]:
    return [numbers[start : start + ROWS_PER_TILE] for start in range(0, len(numbers), ROWS_PER_TILE)]


def _float32(block: np.ndarray) -> np.ndarray:
    return block.astype(np.float32, copy=False)
