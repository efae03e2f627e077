"""Re-ranking with k-reciprocal neighbours, block by block, on the sparse machinery of the pseudo labels."""

import math
from collections.abc import Iterator

import numba
import numpy as np
from scipy import sparse

from ppreid.base.errors import ConfigError
from ppreid.base.progress import progress
from ppreid.evaluation.inputs import Identities, checked_features, checked_identities
from ppreid.evaluation.ranking import RankingResult, evaluate_blocks
from ppreid.neighbours.compiled import SparseRows, compiled
from ppreid.neighbours.ranking import Ranking
from ppreid.neighbours.reciprocal import average_rows, expand_neighbours, reciprocal_neighbours
from ppreid.neighbours.similarity_kernels import pair_similarities
from ppreid.neighbours.tiles import ROWS_PER_TILE, Matmul, choose_matmul, exact_tiles

# How far a distance, in [0, 1], may be from itself when blocks have another height: matrix products of other shapes add
# up in another order. Seen was one unit of the last place, 6e-8; the rest is for other processors.
BLOCK_ROUNDING = 1e-6


def evaluate_reranked(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    protocol: str = "market1501",
    ignore_camera: bool = False,
    max_rank: int = 50,
) -> RankingResult:
    """Metrics after re-ranking, without ever holding a matrix of distances.

    Args:
        query_features: (Q, D).
        gallery_features: (G, D).
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        k1: see `rerank_blocks`.
        k2: see `rerank_blocks`.
        lambda_value: see `rerank_blocks`.
        protocol: a key of `PROTOCOLS`.
        ignore_camera: see `evaluate_distances`.
        max_rank: length of the CMC curve, at least 1.

    Returns:
        The metrics, and how many queries were left out for which reason.

    Raises:
        EvaluationError: if no query has a valid match.
        PpreidError: as `rerank_blocks`.
    """
    ids = Identities(query_pids, gallery_pids, query_camids, gallery_camids)
    ids = checked_identities((len(query_features), len(gallery_features)), ids)
    blocks = rerank_blocks(query_features, gallery_features, k1=k1, k2=k2, lambda_value=lambda_value)
    return evaluate_blocks(blocks, ids, protocol=protocol, ignore_camera=ignore_camera, max_rank=max_rank)


def rerank(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    squared_input: bool = False,
) -> np.ndarray:
    """The distances of `rerank_blocks`, which explains arguments and errors, as one (Q, G) float32 matrix."""
    blocks = rerank_blocks(
        query_features, gallery_features, k1=k1, k2=k2, lambda_value=lambda_value, squared_input=squared_input
    )
    return np.concatenate(list(blocks))


def rerank_blocks(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    squared_input: bool = False,
    block_bytes: int = 2**27,
) -> Iterator[np.ndarray]:
    """Distances that mix the Jaccard distance of k-reciprocal neighbourhoods with the original distance.

    Args:
        query_features: (Q, D).
        gallery_features: (G, D).
        k1: neighbours that may be reciprocal, besides the image itself.
        k2: neighbours, the image included, over which a neighbourhood is averaged; 1 does not average.
        lambda_value: share of the original distance, within [0, 1].
        squared_input: hand squared instead of plain Euclidean distances to the recipe, which squares what it gets.
            The evaluator of the released ISE code does so; the paper's authors do not.
        block_bytes: memory for the distances of a block of one query or more; moves them by `BLOCK_ROUNDING` at most.

    Returns:
        An iterator over the (Q, G) float32 distances, from top to bottom; the search runs when it is first asked.

    Raises:
        DataError: if shapes do not fit or a feature is not finite.
        ConfigError: if `k1` or `k2` is less than 1, or `lambda_value` out of range.

    Reference:
        Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.

    Note:
        Here k1 does not count the image itself, unlike in the Jaccard distance of clustering. An image is always its
        own first neighbour, where the released code lets identical images take that place.
    """
    if k1 < 1 or k2 < 1 or not 0.0 <= lambda_value <= 1.0:
        raise ConfigError(
            f"eval.rerank_k1 is {k1}, eval.rerank_k2 is {k2}, eval.rerank_lambda is {lambda_value}; "
            "k1 and k2 are at least 1 and lambda lies within [0, 1]"
        )
    query, gallery = checked_features(query_features, gallery_features)
    rows = max(1, block_bytes // (4 * len(gallery)))
    return _mixed_blocks(np.concatenate([query, gallery]), len(query), k1, k2, lambda_value, squared_input, rows)


def _mixed_blocks(
    features: np.ndarray, num_queries: int, k1: int, k2: int, lambda_value: float, squared_input: bool, rows: int
) -> Iterator[np.ndarray]:
    """Yield the distances of `rows` queries at a time; features (N, D) are those of the queries, then the gallery."""
    power = 2 if squared_input else 1
    product = _negative_squared_distances(choose_matmul("auto"))
    neighbours, farthest = _search(features, max(k1 + 1, k2), product)
    scale = np.maximum(farthest**power, np.finfo(np.float32).tiny)  # (N,)
    half = reciprocal_neighbours(neighbours, round(k1 / 2) + 1)  # half to even, as the released code
    expanded = expand_neighbours(reciprocal_neighbours(neighbours, k1 + 1), half)
    encoding = average_rows(_neighbourhood_weights(features, expanded, scale, power), neighbours[:, :k2])
    by_column = _gallery_by_column(encoding, num_queries)
    for start in range(0, num_queries, rows):
        part = slice(start, min(start + rows, num_queries))
        block = product(features[part], features[num_queries:])  # (rows, G)
        np.negative(block, out=block)
        block **= power
        block /= scale[part, None]
        _mix_with_jaccard(start, *encoding, *by_column, np.float32(lambda_value), block)
        yield block


def _negative_squared_distances(matmul: Matmul) -> Matmul:
    """A matrix product to search with: the larger, the nearer, also for features that are not of unit norm."""

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        scores = matmul(a, b)  # (A, B)
        scores *= 2
        scores -= np.einsum("nd,nd->n", a, a)[:, None]
        scores -= np.einsum("nd,nd->n", b, b)
        return np.minimum(scores, 0, out=scores)

    return product


def _search(features: np.ndarray, k: int, product: Matmul) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest images (N, k) of every image, itself first, and its largest squared distance (N,)."""
    n = len(features)
    ranking = Ranking(np.zeros(n, np.int64), min(k, n) - 1, same_group=True)
    lowest = np.zeros(n, np.float32)
    tiles, count = exact_tiles(features, matmul=product), math.ceil(n / ROWS_PER_TILE) ** 2
    for tile in progress(tiles, total=count, description="re-ranking", unit="tile"):
        ranking.merge(tile)
        lowest[tile.rows] = np.minimum(lowest[tile.rows], tile.scores.min(axis=1))
    return ranking.with_self_first()[1], -lowest


def _neighbourhood_weights(features: np.ndarray, neighbours: SparseRows, scale: np.ndarray, power: int) -> SparseRows:
    """Weights exp(-scaled distance) of every image's neighbours, each row summing to 1."""
    counts = np.diff(neighbours.indptr)  # at least 1, the image itself
    rows, norms = np.repeat(np.arange(len(counts)), counts), np.einsum("nd,nd->n", features, features)
    products = np.empty(len(rows), np.float32)
    pair_similarities(features, neighbours.indptr, neighbours.indices, products)
    squared = np.maximum(norms[rows] + norms[neighbours.indices] - 2 * products, 0)
    weights = np.exp(-(squared**power) / scale[rows])
    weights /= np.repeat(np.add.reduceat(weights, neighbours.indptr[:-1]), counts)
    return neighbours._replace(values=weights)


def _gallery_by_column(encoding: SparseRows, num_queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of the gallery as (column pointers, rows, values), ordered by column."""
    n = len(encoding.indptr) - 1
    rows = sparse.csr_matrix((encoding.values, encoding.indices, encoding.indptr), shape=(n, n))
    columns = rows[num_queries:].tocsc()
    return columns.indptr, columns.indices, columns.data


@compiled
def _mix_with_jaccard(
    start: int,
    v_ptr: np.ndarray,
    v_columns: np.ndarray,
    v_values: np.ndarray,
    column_ptr: np.ndarray,
    column_rows: np.ndarray,
    column_values: np.ndarray,
    lambda_value: np.float32,
    block: np.ndarray,
) -> None:
    """Mix in 1 - S / (2 - S), S the sum of the smaller weights of a query and a gallery image."""
    for row in numba.prange(len(block)):
        shared = np.zeros(block.shape[1], np.float32)
        for p in range(v_ptr[start + row], v_ptr[start + row + 1]):
            column, weight = v_columns[p], v_values[p]
            for q in range(column_ptr[column], column_ptr[column + 1]):
                shared[column_rows[q]] += min(weight, column_values[q])
        for j in range(len(shared)):
            jaccard = 1 - shared[j] / (2 - shared[j])
            block[row, j] = lambda_value * block[row, j] + (1 - lambda_value) * jaccard
