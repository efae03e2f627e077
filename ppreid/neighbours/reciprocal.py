"""k-reciprocal neighbours and their expansion: who counts as a neighbour when two images are compared."""

import numba
import numpy as np

from ppreid.neighbours.compiled import SparseRows, compiled, fill_rows, part_bounds


def reciprocal_neighbours(ranking: np.ndarray, k: int) -> SparseRows:
    """Neighbours j of every image i for which i is also a neighbour of j.

    Args:
        ranking: (N, >= k) int32 neighbours of every image, the nearest first; -1 is an empty place.
        k: number of columns to look at.

    Returns:
        The columns of row i are the k-reciprocal neighbours of i, in the order of the ranking; without values.

    Reference:
        Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, equation 3.
    """
    return fill_rows(_mutual_columns, len(ranking), np.ascontiguousarray(ranking[:, :k]))


def expand_neighbours(neighbours: SparseRows, half: SparseRows) -> SparseRows:
    """Add to every set R(i) the smaller sets of those members that share most of their neighbours with it.

    The half set of a member c of R(i) is added if more than two thirds of it lie in R(i), as R(i) was before anything
    was added.

    Args:
        neighbours: R(i), the k1-reciprocal neighbours of every image.
        half: the reciprocal neighbours of every image for about half of k1.

    Returns:
        The columns of row i are R(i) followed by what was added; without values.

    Reference:
        Zhong et al., CVPR 2017, equation 4.
    """
    n = len(neighbours.indptr) - 1
    return fill_rows(
        _expanded_columns, n, neighbours.indptr, neighbours.indices, half.indptr, half.indices, part_bounds(n)
    )


@compiled
def _mutual_columns(
    ranking: np.ndarray, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, fill: bool
) -> None:
    n, k = ranking.shape
    for i in numba.prange(n):
        count = 0
        for a in range(k):
            j = ranking[i, a]
            if j < 0:
                continue
            for b in range(k):
                if ranking[j, b] == i:
                    if fill:
                        indices[indptr[i] + count] = j
                    count += 1
                    break
        if not fill:
            indptr[i + 1] = count


@compiled
def _expanded_columns(
    set_ptr: np.ndarray,
    set_columns: np.ndarray,
    half_ptr: np.ndarray,
    half_columns: np.ndarray,
    parts: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    fill: bool,
) -> None:
    n = len(set_ptr) - 1
    for part in numba.prange(len(parts) - 1):
        # 2 * i marks the members of R(i), 2 * i + 1 what was added to it; smaller numbers are left from earlier rows.
        mark = np.full(n, -1, np.int64)
        for i in range(parts[part], parts[part + 1]):
            start = indptr[i]
            count = 0
            for p in range(set_ptr[i], set_ptr[i + 1]):
                mark[set_columns[p]] = 2 * i
                if fill:
                    indices[start + count] = set_columns[p]
                count += 1
            for p in range(set_ptr[i], set_ptr[i + 1]):
                member = set_columns[p]
                first, stop = half_ptr[member], half_ptr[member + 1]
                shared = 0
                for q in range(first, stop):
                    shared += mark[half_columns[q]] == 2 * i
                if 3 * shared <= 2 * (stop - first):
                    continue
                for q in range(first, stop):
                    if mark[half_columns[q]] < 2 * i:
                        mark[half_columns[q]] = 2 * i + 1
                        if fill:
                            indices[start + count] = half_columns[q]
                        count += 1
            if not fill:
                indptr[i + 1] = count
