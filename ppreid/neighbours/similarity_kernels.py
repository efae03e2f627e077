"""The compiled loops that read features or similarities.

They share one file because numba's cache does not notice when a function that a kernel calls in another file changes.
"""

from collections.abc import Callable

import numba
import numpy as np
from numba import extending, types

from ppreid.neighbours.compiled import compiled


# Reassociation lets the compiler use vector registers; the order of the sum is fixed when the function is compiled.
@numba.njit(fastmath={"reassoc", "contract"})
def dot(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Dot product of two `readable` rows, in float32."""
    total = np.float32(0)
    for d in range(len(a)):
        total += _value(a[d]) * _value(b[d])
    return total


@compiled
def pair_similarities(features: np.ndarray, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray) -> None:
    """Write the dot products of every row with the rows that its entries name.

    Args:
        features: (N, D) `readable` rows.
        indptr: (N + 1,) row pointers.
        indices: (nnz,) the other row of each pair.
        values: (nnz,) float32, written.
    """
    for i in numba.prange(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            values[p] = dot(features[i], features[indices[p]])


@numba.njit(fastmath={"reassoc", "contract"})
def _dot_in_double(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Dot product of two `readable` rows in float64, rounded once."""
    total = np.float64(0)
    for d in range(len(a)):
        total += np.float64(_value(a[d])) * np.float64(_value(b[d]))
    return np.float32(total)


@compiled
def score_candidates(
    features: np.ndarray,
    rows: np.ndarray,
    candidates: tuple[np.ndarray, np.ndarray],
    margin: float,
    ranking: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Insert candidates into rankings as long as they may be better than the last place; see `rank_certified`.

    Args:
        features: (N, D) `readable` rows.
        rows: (R,) image numbers, each at most once.
        candidates: their bounds (N, m) in any order and their image numbers (N, m), -inf and -1 where there are no
            more images: no similarity is above its bound and `margin`, or above the least bound if it has none.
        margin: what rounding may take from a bound.
        ranking: similarities (N, k) and image numbers (N, k), changed in place.

    Returns:
        (R,) bool: whether no image that was not scored can be in the ranking.
    """
    (bounds, numbers), (similarities, indices) = candidates, ranking
    decided, last = np.zeros(len(rows), np.bool_), indices.shape[1] - 1
    for r in numba.prange(len(rows)):
        i = rows[r]
        best_first = np.argsort(-bounds[i])
        for p in best_first:
            # in float64, and only strictly below: an equal one of a lower number would come before
            if numbers[i, p] < 0 or np.float64(bounds[i, p]) + margin < similarities[i, last]:
                decided[r] = True
                break
            _insert(similarities[i], indices[i], _dot_in_double(features[i], features[numbers[i, p]]), numbers[i, p])
        if not decided[r]:
            decided[r] = np.float64(bounds[i, best_first[-1]]) + margin < similarities[i, last]
    return decided


@compiled
def keep_best(
    scores: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    strip: int,
    groups: np.ndarray,
    same_group: bool,
    in_order: bool,
    similarities: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Insert the candidates of a tile into the rankings of its rows; see `Ranking.merge`.

    Args:
        scores: (R, C) float32.
        rows: (R,) image numbers, each at most once.
        columns: (C,) image numbers of the candidates.
        strip: rows that one thread scans side by side.
        groups: (N,) group of every image.
        same_group: whether candidates must be of the row's group, or of another.
        in_order: rankings are descending; otherwise heaps, the worst one first.
        similarities: (N, k), changed in place.
        indices: (N, k), changed in place; a candidate that is there already is not inserted again.
    """
    worst_place = indices.shape[1] - 1 if in_order else 0
    for part in numba.prange((len(rows) + strip - 1) // strip):
        first, stop = part * strip, min((part + 1) * strip, len(rows))
        # Nearly all candidates fail against the worst place. Its values are kept beside each other for that comparison.
        worst = similarities[rows[first:stop], worst_place]
        for c in range(len(columns)):
            for r in range(first, stop):
                if scores[r, c] < worst[r - first]:
                    continue
                row, candidate = rows[r], columns[c]
                allowed = candidate != row and (groups[candidate] == groups[row]) == same_group
                if allowed and candidate not in indices[row]:  # lists may give a pair in the one tile and the other
                    if in_order:
                        _insert(similarities[row], indices[row], scores[r, c], candidate)
                    else:
                        _replace_first(similarities[row], indices[row], scores[r, c], candidate)
                    worst[r - first] = similarities[row, worst_place]


@compiled
def try_neighbours_of_neighbours(
    features: np.ndarray,
    found: np.ndarray,
    parts: np.ndarray,
    groups: np.ndarray,
    same_group: bool,
    similarities: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Insert what the neighbours of every image's neighbours are; see `Ranking.refine`.

    Args:
        features: (N, D) `readable` rows.
        found: (N, m) neighbours to follow, not changed meanwhile.
        parts: bounds from `part_bounds`.
        groups: as for `keep_best`.
        same_group: as for `keep_best`.
        similarities: (N, k), changed in place.
        indices: (N, k), changed in place.
    """
    n, k = indices.shape
    for part in numba.prange(len(parts) - 1):
        seen_by = np.full(n, -1, np.int64)  # marked with the number of the image: nothing to clear before the next one
        for i in range(parts[part], parts[part + 1]):
            seen_by[i] = i
            for candidate in indices[i]:
                if candidate >= 0:
                    seen_by[candidate] = i
            for neighbour in found[i]:
                if neighbour < 0:
                    continue
                for candidate in found[neighbour]:
                    if candidate < 0 or seen_by[candidate] == i or (groups[candidate] == groups[i]) != same_group:
                        continue
                    seen_by[candidate] = i
                    score = dot(features[i], features[candidate])
                    if score >= similarities[i, k - 1]:
                        _insert(similarities[i], indices[i], score, candidate)


@numba.njit
def _insert(similarities: np.ndarray, indices: np.ndarray, score: float, candidate: int) -> None:
    # from behind, where a candidate that beats only the last place stops at once; equal ones stand by image number
    place = len(indices)
    while place > 0 and (
        similarities[place - 1] < score or (similarities[place - 1] == score and indices[place - 1] > candidate)
    ):
        place -= 1
    if place == len(indices):
        return
    for p in range(len(indices) - 1, place, -1):
        similarities[p], indices[p] = similarities[p - 1], indices[p - 1]
    similarities[place], indices[place] = score, candidate


@numba.njit
def _replace_first(similarities: np.ndarray, indices: np.ndarray, score: float, candidate: int) -> None:
    # a heap: 7 steps for 128 places, where an ordered list moves half of them
    place, child, k = 0, 1, len(indices)
    while child < k:
        if child + 1 < k and similarities[child + 1] < similarities[child]:
            child += 1
        if similarities[child] >= score:
            break
        similarities[place], indices[place] = similarities[child], indices[child]
        place, child = child, 2 * child + 1
    similarities[place], indices[place] = score, candidate


def _value(number: float) -> float:
    """The number that an element of a readable row stands for; exists in compiled code only."""
    raise NotImplementedError


@extending.overload(_value, strict=False)  # strict compares the annotations below with each other
def _value_by_type(number: types.Type) -> Callable[..., float | np.float32]:
    if isinstance(number, types.Float):
        return lambda number: number

    def float16_from_bits(number: np.uint16) -> np.float32:
        # Exponents count from 15 in float16 and from 127 in float32. They are moved by adding to the bits: a factor of
        # 2**112 would be reassociated with that of the other row, and their product overflows.
        magnitude = np.uint32(number & 0x7FFF)
        if magnitude < 0x400:  # zero and subnormal numbers
            value = np.float32(magnitude) * np.float32(2.0**-24)
        else:
            value = np.uint32((magnitude << np.uint32(13)) + np.uint32(112 << 23)).view(np.float32)
        return -value if number & 0x8000 else value

    return float16_from_bits
