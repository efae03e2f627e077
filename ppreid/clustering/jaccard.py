"""Sparse k-reciprocal Jaccard distance: the distance that pseudo labels are clustered by."""

from functools import partial

import numba
import numpy as np
from scipy import sparse

from ppreid.base.errors import DataError
from ppreid.base.progress import Stopwatch
from ppreid.neighbours.checks import at_most_all, check_features, check_ranking
from ppreid.neighbours.compiled import SparseRows, compiled, fill_rows, part_bounds
from ppreid.neighbours.reciprocal import average_rows, expand_neighbours, neighbour_weights, reciprocal_neighbours
from ppreid.neighbours.search import nearest_neighbours


def jaccard_distance(
    features: np.ndarray,
    *,
    k1: int = 30,
    k2: int = 6,
    max_distance: float = 1.0,
    method: str = "exact",
    backend: str = "auto",
    num_lists: int | None = None,
    num_probes: int | None = None,
    rng: np.random.Generator | None = None,
    stopwatch: Stopwatch | None = None,
) -> sparse.csr_matrix:
    """k-reciprocal Jaccard distance between all images that are closer than a limit.

    Args:
        features: (N, D) rows of unit L2 norm, float32 or float16, in memory or an np.memmap.
        k1: neighbours of the reciprocal sets, the image itself included; clamped to N with a warning.
        k2: neighbours to average the encoding over, the image itself included; 1 turns that off; clamped to N.
        max_distance: pairs farther than this, in (0, 1], are not stored. The largest eps of the clustering loses
            nothing; 1 stores every pair that shares a neighbour, and all other pairs are at distance 1.
        method: neighbour search, as for `nearest_neighbours`, like the arguments that follow.
        backend: see `nearest_neighbours`.
        num_lists: see `nearest_neighbours`.
        num_probes: see `nearest_neighbours`.
        rng: see `nearest_neighbours`.
        stopwatch: receives the stages "neighbours" and "jaccard".

    Returns:
        (N, N) float32 CSR, exactly symmetric. A stored entry is the distance of a pair within max_distance (it may be
        0), a pair that is not stored is farther; the diagonal is stored as 0.

    Raises:
        DataError: the features are not usable (see `check_features`), or an argument is not valid.

    Reference:
        Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, section 3, in the
        variant of ISE (Zhang et al., CVPR 2022): softmax weights, and no mixing with the original distance.
    """
    features = check_features(features)
    k1, k2 = at_most_all("k1", k1, len(features)), at_most_all("k2", k2, len(features))
    stopwatch = stopwatch or Stopwatch()
    with stopwatch.stage("neighbours"):
        _, indices = nearest_neighbours(
            features,
            max(k1, k2),
            method=method,
            backend=backend,
            num_lists=num_lists,
            num_probes=num_probes,
            rng=rng,
        )
    with stopwatch.stage("jaccard"):
        return jaccard_from_neighbours(features, indices, k1=k1, k2=k2, max_distance=max_distance)


def jaccard_from_neighbours(
    features: np.ndarray, indices: np.ndarray, *, k1: int = 30, k2: int = 6, max_distance: float = 1.0
) -> sparse.csr_matrix:
    """The part of `jaccard_distance` behind the neighbour search.

    Args:
        features: (N, D) rows of unit L2 norm, as for `jaccard_distance`.
        indices: (N, >= max(k1, k2)) int32 from `nearest_neighbours`, the image itself in column 0.
        k1: as for `jaccard_distance`.
        k2: as for `jaccard_distance`.
        max_distance: as for `jaccard_distance`.

    Returns:
        As `jaccard_distance`.

    Raises:
        DataError: the features are not usable, the indices do not fit them, or an argument is not valid.

    Note:
        As in the released code the full sets look at k1 columns of the ranking, but the half sets at
        round(k1 / 2) + 1 (half to even). Unlike there, the diagonal is exactly 0 (float32 left up to 1e-6), and k1 is
        clamped to N (the search padded with -1, which then stood for the last image).
    """
    features = check_features(features)
    k1, k2 = at_most_all("k1", k1, len(features)), at_most_all("k2", k2, len(features))
    indices = check_ranking(indices, len(features), max(k1, k2))
    neighbours = reciprocal_neighbours(indices, k1)
    half = reciprocal_neighbours(indices, round(k1 / 2) + 1)
    encoding = neighbour_weights(features, expand_neighbours(neighbours, half))
    return jaccard_rows(average_rows(encoding, indices[:, :k2]), max_distance)


def jaccard_rows(encoding: SparseRows, max_distance: float, *, rows: range | None = None) -> sparse.csr_matrix:
    """Jaccard distance 1 - S / (2 - S), S the sum of the smaller weights, between all rows that share a column.

    Args:
        encoding: V, each row summing to 1, columns ascending.
        max_distance: pairs farther than this, in (0, 1], are left out.
        rows: the others are left empty; None wants all.

    Returns:
        (N, N) float32, exactly symmetric, columns ascending, the diagonal stored as 0.

    Raises:
        DataError: max_distance is not in (0, 1].
    """
    if not 0 < max_distance <= 1:
        raise DataError(f"max_distance is {max_distance!r}; Jaccard distances lie in [0, 1], expected (0, 1]")
    n = len(encoding.indptr) - 1
    by_column, parts = _transpose(*encoding), part_bounds(n)
    if rows is not None:
        parts = part_bounds(len(rows)) + rows.start
    near = fill_rows(_near_rows, n, *encoding, *by_column, parts, np.float32(max_distance), with_values=True)
    return sparse.csr_matrix((near.values, near.indices, near.indptr), shape=(n, n))


@partial(compiled, parallel=False)
def _transpose(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(indptr) - 1
    column_ptr = np.zeros(n + 1, np.int64)
    for column in indices:
        column_ptr[column + 1] += 1
    for column in range(n):
        column_ptr[column + 1] += column_ptr[column]
    free = column_ptr[:-1].copy()
    rows, row_values = np.empty_like(indices), np.empty_like(values)
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            place = free[indices[p]]
            rows[place], row_values[place] = i, values[p]
            free[indices[p]] += 1
    return column_ptr, rows, row_values


@compiled
def _near_rows(
    v_ptr: np.ndarray,
    v_columns: np.ndarray,
    v_values: np.ndarray,
    column_ptr: np.ndarray,
    column_rows: np.ndarray,
    column_values: np.ndarray,
    parts: np.ndarray,
    max_distance: np.float32,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    fill: bool,
) -> None:
    n = len(v_ptr) - 1
    for part in numba.prange(len(parts) - 1):
        shared = np.zeros(n, np.float32)
        met = np.empty(n, np.int32)
        for i in range(parts[part], parts[part + 1]):
            count = 0
            # Columns ascend, so S(i, j) and S(j, i) add up the same numbers in the same order.
            for p in range(v_ptr[i], v_ptr[i + 1]):
                column, weight = v_columns[p], v_values[p]
                for q in range(column_ptr[column], column_ptr[column + 1]):
                    j = column_rows[q]
                    if shared[j] == 0:
                        met[count] = j
                        count += 1
                    shared[j] += min(weight, column_values[q])
            near = 0
            for p in range(count):
                j = met[p]
                distance = np.float32(0)
                if i != j:
                    distance = max(distance, 1 - shared[j] / (2 - shared[j]))
                shared[j] = 0
                if distance <= max_distance:
                    met[near] = j
                    shared[j] = distance
                    near += 1
            if fill:
                columns = np.sort(met[:near])
                for p in range(near):
                    indices[indptr[i] + p] = columns[p]
                    values[indptr[i] + p] = shared[columns[p]]
            else:
                indptr[i + 1] = near
            for p in range(near):
                shared[met[p]] = 0
