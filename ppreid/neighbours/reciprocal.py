"""k-reciprocal neighbours, their expansion, and the encoding V: for every image a sparse vector of their weights."""

import numba
import numpy as np

from ppreid.neighbours.compiled import SparseRows, compiled, fill_rows, part_bounds, readable
from ppreid.neighbours.similarity_kernels import pair_similarities


def reciprocal_neighbours(ranking: np.ndarray, k: int) -> SparseRows:
    """Neighbours j of every image i for which i is also a neighbour of j.

    Args:
        ranking: (N, >= k) int32 neighbours of every image, the nearest first; -1 is an empty place.
        k: number of columns to look at.

    Returns:
        The columns of row i are the k-reciprocal neighbours of i, in the order of the ranking; without values.

    Example:
        Image 2 has 1 among its two nearest, but 1 is nearer to 0 than to 2: only 0 and 1 are mutual.

        >>> mutual = reciprocal_neighbours(np.array([[0, 1], [1, 0], [2, 1]], dtype=np.int32), 2)
        >>> [row.tolist() for row in np.split(mutual.indices, mutual.indptr[1:-1])]
        [[0, 1], [1, 0], [2]]

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
            # k is about 30: looking through the columns of j needs neither a set nor a sorted copy
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
                # in integers, since 2 / 3 of a multiple of 3 must count as not more than two thirds
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


def neighbour_weights(features: np.ndarray, neighbours: SparseRows, *, images: np.ndarray | None = None) -> SparseRows:
    """Weights of every image's neighbours: the softmax of minus their squared Euclidean distances.

    Args:
        features: (N, D) unit rows, float32 or float16, C-contiguous.
        neighbours: the columns of row i are the neighbours of image i, at least one.
        images: (n,) int32, ascending, the image that each number in `neighbours` stands for; None is its own.

    Returns:
        The same columns with positive weights; each row sums to 1.

    Note:
        The similarities are computed again from the features, also where a search already knew them: the weights then
        do not depend on how the neighbours were found.
    """
    values = np.empty(len(neighbours.indices), np.float32)
    indptr, columns = neighbours.indptr, neighbours.indices
    if images is not None:
        sizes = np.zeros(len(features) + 1, np.int64)
        sizes[images + 1] = np.diff(indptr)
        indptr, columns = np.cumsum(sizes), images[columns]  # the same entries, in the rows of the features
    pair_similarities(readable(features), indptr, columns, values)
    # -(2 - 2 cos) lies in [-4, 0]: no maximum has to be subtracted before the exponential.
    np.exp(2 * values - 2, out=values)
    sums = np.add.reduceat(values, neighbours.indptr[:-1])  # (N,); no row is empty, each has the image itself
    values /= np.repeat(sums, np.diff(neighbours.indptr))
    return neighbours._replace(values=values)


def average_rows(encoding: SparseRows, ranking: np.ndarray) -> SparseRows:
    """Local query expansion: replace every row by the mean of the rows of its nearest images.

    Args:
        encoding: V, each row summing to 1.
        ranking: (N, k2) int32 images to average over, normally the image itself first; -1 is an empty place. With one
            column, the image itself, only the order of the entries changes.

    Returns:
        The mean rows, columns ascending.
    """
    n = len(encoding.indptr) - 1
    return fill_rows(_mean_rows, n, *encoding, np.ascontiguousarray(ranking), part_bounds(n), with_values=True)


@compiled
def _mean_rows(
    v_ptr: np.ndarray,
    v_columns: np.ndarray,
    v_values: np.ndarray,
    ranking: np.ndarray,
    parts: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    fill: bool,
) -> None:
    n, k = ranking.shape
    for part in numba.prange(len(parts) - 1):
        total = np.zeros(n, np.float32)  # weights are positive: 0 is a column that was not met
        met = np.empty(n, np.int32)
        for i in range(parts[part], parts[part + 1]):
            count = 0
            num_rows = 0
            for a in range(k):
                j = ranking[i, a]
                if j < 0:  # an image with few neighbours is averaged over those that it has
                    continue
                num_rows += 1
                for p in range(v_ptr[j], v_ptr[j + 1]):
                    column = v_columns[p]
                    if total[column] == 0:
                        met[count] = column
                        count += 1
                    total[column] += v_values[p]
            if fill:
                columns = np.sort(met[:count])  # the Jaccard distance is symmetric to the bit only in a fixed order
                for p in range(count):
                    indices[indptr[i] + p] = columns[p]
                    values[indptr[i] + p] = total[columns[p]] / np.float32(num_rows)
            else:
                indptr[i + 1] = count
            for p in range(count):
                total[met[p]] = 0
