"""Jaccard distances and clusters of images that several machines share: each has some rows, and gives the same bits.

    row_neighbours -> ranking (N, k) -> encoded_rows -> encoding (N, N) -> near_rows -> pairs -> joined_labels

Between two arrows all rows are put together; what `jaccard_distance` and `dbscan_labels` do with all rows at once is
done by the same functions here.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ppreid.clustering.jaccard import jaccard_rows
from ppreid.clustering.labels import check_positive
from ppreid.neighbours.checks import check_features
from ppreid.neighbours.compiled import SparseRows, compiled
from ppreid.neighbours.reciprocal import average_rows, expand_neighbours, neighbour_weights, reciprocal_neighbours

NO_ROWS = SparseRows(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


def encoded_rows(features: np.ndarray, ranking: np.ndarray, rows: range, *, k1: int, k2: int) -> SparseRows:
    """Rows of the encoding V that `jaccard_from_neighbours` compares: k-reciprocal sets, weighted and averaged.

    Args:
        features: (N, D) rows of unit L2 norm, as for `jaccard_distance`.
        ranking: (N, >= max(k1, k2)) int32 neighbours of all images, see `row_neighbours`.
        rows: the images.
        k1: as for `jaccard_distance`, at most N.
        k2: as for `jaccard_distance`, at most N.

    Returns:
        Entries of the rows, columns ascending and below N.

    Raises:
        DataError: the features are not usable, see `check_features`.
    """
    if not rows:
        return NO_ROWS
    features, half = check_features(features), round(k1 / 2) + 1
    averaged = np.unique(ranking[rows.start : rows.stop, :k2])  # whose rows of V are needed
    members = np.union1d(averaged, ranking[averaged, :k1])
    images = np.union1d(members, ranking[members, :half])  # who can be in their sets
    # numbered within these, in the same order; who is not among them is nobody's reciprocal neighbour here
    local = np.searchsorted(images, ranking[images]).clip(max=len(images) - 1)
    local = np.where(images[local] == ranking[images], local, -1).astype(np.int32)
    sets = expand_neighbours(reciprocal_neighbours(local, k1), reciprocal_neighbours(local, half))
    encoding = neighbour_weights(features, _of_rows(sets, np.isin(images, averaged)), images=images)
    first, stop = np.searchsorted(images, (rows.start, rows.stop))
    found = average_rows(encoding, local[:, :k2])
    return _slice(found, first, stop, columns=images)


def near_rows(encoding: Sequence[SparseRows], rows: range, *, max_distance: float) -> SparseRows:
    """Rows of `jaccard_rows`: distances to all images within a limit.

    Args:
        encoding: V in parts, one below the other; all N rows together.
        rows: the images.
        max_distance: pairs farther than this are left out.

    Returns:
        Entries of the rows, columns ascending and below N, the image itself at 0 among them.
    """
    if not rows:
        return NO_ROWS
    whole = _stacked(encoding)
    used = np.zeros(len(whole.indptr) - 1, bool)
    used[whole.indices[whole.indptr[rows.start] : whole.indptr[rows.stop]]] = True
    kept = used[whole.indices]  # columns that none of the rows has change nothing
    indptr = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[whole.indptr]
    found = jaccard_rows(SparseRows(indptr, whole.indices[kept], whole.values[kept]), max_distance, rows=rows)
    return _slice(SparseRows(found.indptr, found.indices, found.data), rows.start, rows.stop)


def joined_labels(pairs: Sequence[SparseRows], *, min_samples: int) -> np.ndarray:
    """The labels of `dbscan_labels`, from pairs of images within eps.

    Core points that are neighbours are joined (union-find); the first image stands for its cluster. So the parts may
    come from anywhere, and no more than an image number and the pairs of each image are held.

    Args:
        pairs: neighbours within eps in parts, one below the other, as `near_rows` with max_distance eps gives them;
            all N rows together, symmetric. The values do not matter.
        min_samples: neighbours that make a core point, itself included.

    Returns:
        (N,) int64; -1 outlier, otherwise clusters in the order of their first core point. A border point that several
        clusters reach goes to the first.

    Raises:
        DataError: min_samples is not positive.
    """
    check_positive(min_samples=min_samples)
    is_core = np.concatenate([np.diff(part.indptr) >= min_samples for part in pairs])  # (N,)
    first_of = np.arange(len(is_core), dtype=np.int32)  # (N,) an earlier image of the same cluster, or itself
    start = 0
    for part in pairs:
        _join_cores(part.indptr, part.indices, start, is_core, first_of)
        start += len(part.indptr) - 1
    labels = np.full(len(is_core), -1, np.int64)
    _number_cores(is_core, first_of, labels)
    start = 0
    for part in pairs:
        _label_borders(part.indptr, part.indices, start, is_core, labels)
        start += len(part.indptr) - 1
    return labels


def _stacked(parts: Sequence[SparseRows]) -> SparseRows:
    """Parts of a matrix, one below the other."""
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return SparseRows(indptr, *(np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True)))


def _slice(matrix: SparseRows, first: int, stop: int, *, columns: np.ndarray | None = None) -> SparseRows:
    """Some rows of a matrix, whose columns are numbered as said."""
    entries = slice(matrix.indptr[first], matrix.indptr[stop])
    indices = matrix.indices[entries] if columns is None else columns[matrix.indices[entries]]
    return SparseRows(matrix.indptr[first : stop + 1] - matrix.indptr[first], indices, matrix.values[entries])


def _of_rows(sets: SparseRows, wanted: np.ndarray) -> SparseRows:
    """Sets of which those that are not wanted (N,) hold only the image itself, which is in every set."""
    rows = np.repeat(np.arange(len(wanted)), np.diff(sets.indptr))
    kept = wanted[rows] | (sets.indices == rows)
    indptr = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[sets.indptr]
    return SparseRows(indptr, sets.indices[kept], sets.values)


@partial(compiled, parallel=False)
def _join_cores(indptr: np.ndarray, indices: np.ndarray, start: int, is_core: np.ndarray, first_of: np.ndarray) -> None:
    for row in range(len(indptr) - 1):
        if not is_core[start + row]:
            continue
        for p in range(indptr[row], indptr[row + 1]):
            if not is_core[indices[p]]:
                continue
            a, b = np.int64(start + row), np.int64(indices[p])
            while first_of[a] != a:
                first_of[a] = first_of[first_of[a]]  # the next way is shorter
                a = np.int64(first_of[a])
            while first_of[b] != b:
                first_of[b] = first_of[first_of[b]]
                b = np.int64(first_of[b])
            if a > b:
                a, b = b, a
            first_of[b] = a


@partial(compiled, parallel=False)
def _number_cores(is_core: np.ndarray, first_of: np.ndarray, labels: np.ndarray) -> None:
    clusters = 0
    for i in range(len(labels)):
        if not is_core[i]:
            continue
        if first_of[i] == i:
            labels[i] = clusters
            clusters += 1
        else:
            labels[i] = labels[first_of[i]]  # an earlier image, which has its number


@partial(compiled, parallel=False)
def _label_borders(
    indptr: np.ndarray, indices: np.ndarray, start: int, is_core: np.ndarray, labels: np.ndarray
) -> None:
    for row in range(len(indptr) - 1):
        if is_core[start + row]:
            continue
        for p in range(indptr[row], indptr[row + 1]):
            found = labels[indices[p]]
            if is_core[indices[p]] and (labels[start + row] < 0 or found < labels[start + row]):
                labels[start + row] = found
