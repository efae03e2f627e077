"""Exact neighbours from a cheap first pass, with a proof for every image that the pass has missed none.

Features are split into their part along a few directions Q, which hold most of them, and the rest: x = Q p + r, with r
at right angles to Q. Then x . x' = p . p' + r . r', and r . r' is at most |r| |r'| (Cauchy-Schwarz). So p with |r| as
one more number is a short vector whose dot products are never below the similarities. The best candidates by that bound
are scored in full, the best bound first. An image is decided when its k-th score is above the bound of every candidate
that was not scored: none of them can be among its neighbours. The few that stay undecided are searched in full.
"""

from collections.abc import Sequence

import numpy as np

from ppreid.base.progress import progress
from ppreid.neighbours.compiled import readable
from ppreid.neighbours.ranking import Ranking, Tile
from ppreid.neighbours.similarity_kernels import score_candidates
from ppreid.neighbours.tiles import Matmul, blocks, exact_tiles, num_tiles

# Directions that are tried, the cheapest first: the features of trained networks vary along few.
NUM_DIRECTIONS = (128, 256)
# Candidates beyond the k wanted. Of 32,621 images of 2048 numbers 34 more decide 94 of 100 with k = 30, 66 decide 99.
SPARE = 98
SAMPLE = 256  # images that are tried first
# Share of the sample that must be decided: an image that is not costs as much as some ten that are.
WORTH_IT = 0.9
# With fewer images or numbers the search in full takes seconds, and what is found out first does not pay.
MIN_IMAGES, MIN_DIM = 4096, 512
_LEARNT_FROM = 2048  # images, for the directions
_EXTRA = 16  # directions that are looked for beyond those wanted, since the last ones are found worst


def rank_certified(features: np.ndarray, rankings: Sequence[Ranking], *, matmul: Matmul) -> bool:
    """Fill rankings with the most similar images, if a bound decides most of them.

    Args:
        features: (N, D) unit rows, float32 or float16, C-contiguous, possibly memory-mapped.
        rankings: empty rankings over the N images, of the same rows; filled in place.
        matmul: as in `exact_tiles`.

    Returns:
        Whether they are filled; if not they are empty still, and little time was lost.

    Note:
        A score is the dot product in float64 rounded to float32, so that neighbours depend neither on the number of
        threads nor on the order in which a library sums. Memory: 4 * N * (directions + 1) bytes for the short vectors
        and 8 * N * (k + SPARE) for the candidates of each ranking.
    """
    wanted = [ranking for ranking in rankings if ranking.indices.shape[1]]
    if len(features) < MIN_IMAGES or features.shape[1] < MIN_DIM or not wanted:
        return False
    rng = np.random.default_rng(0)  # time depends on what is drawn, the result does not
    sample = np.sort(rng.choice(len(features), SAMPLE, replace=False))
    main_directions = directions(features, max(NUM_DIRECTIONS), rng)  # (D, max)
    rows = wanted[0].rows
    candidates = [ranking.like(spare=SPARE, rows=rows, in_order=False) for ranking in wanted]
    for ranking in (*wanted, *candidates):
        ranking.forget(sample)  # which need not be among the rows
    for count in NUM_DIRECTIONS:
        short = short_vectors(features, main_directions[:, :count])  # (N, count + 1)
        for columns in blocks(len(short)):
            scores = matmul(short[sample], short[columns])  # (SAMPLE, C)
            for candidate in candidates:
                candidate.merge(Tile(scores, sample, columns))
        decided = [
            score(features, sample, *pair, margin=margin(count)) for pair in zip(wanted, candidates, strict=True)
        ]
        for ranking in (*wanted, *candidates):
            ranking.forget(sample)
        if np.mean(decided) >= WORTH_IT:
            break
    else:
        return False
    tiles, total = exact_tiles(short, matmul=matmul, rows=rows), num_tiles(len(short), rows)
    for tile in progress(tiles, total=total, description="neighbours", unit="tile"):
        for candidate in candidates:
            candidate.merge(tile)
    everyone = np.arange(rows.start, rows.stop)
    for ranking, candidate in zip(wanted, candidates, strict=True):
        certain = score(features, everyone, ranking, candidate, margin=margin(count))
        _search_in_full(features, ranking, everyone[~certain])
    return True


def directions(features: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal columns (D, count) along which features vary most, the first ones most.

    Reference:
        Halko, Martinsson, Tropp: Finding structure with randomness, SIAM Review 2011, algorithm 4.4.
    """
    rows = np.sort(rng.choice(len(features), min(len(features), _LEARNT_FROM), replace=False))
    drawn = features[rows].astype(np.float32)  # (n, D)
    found = rng.standard_normal((drawn.shape[1], count + _EXTRA), dtype=np.float32)
    for _ in range(2):
        found = np.linalg.qr(drawn.T @ (drawn @ found))[0]  # (D, count + extra)
    along = drawn @ found  # (n, count + extra)
    turned = np.linalg.eigh(along.T @ along)[1][:, ::-1]  # most energy first
    # the proof needs right angles to more digits than float32 has, and does not need the best directions
    return np.linalg.qr((found @ turned)[:, :count].astype(np.float64))[0]


def short_vectors(features: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Vectors (N, count + 1) float32 whose dot products are not below those of the features, but for `margin`."""
    short = np.empty((len(features), directions.shape[1] + 1), np.float32)
    for rows in blocks(len(features)):
        block = features[rows[0] : rows[-1] + 1].astype(np.float64)  # (R, D)
        along = block @ directions  # (R, count)
        rest = np.einsum("nd,nd->n", block, block) - np.einsum("nd,nd->n", along, along)
        short[rows[0] : rows[-1] + 1, :-1] = along
        # what float64 loses in that difference is well below 1e-10
        short[rows[0] : rows[-1] + 1, -1] = np.sqrt(np.maximum(rest, 0) + 1e-10)
    return short


def margin(count: int) -> float:
    """What float32 can take from a dot product of short vectors of length 1.002 (`UNIT_NORM_TOLERANCE`), at most.

    Reference:
        Higham: Accuracy and Stability of Numerical Algorithms, 2002, section 3.1: a sum of n products is off by at most
        n * u / (1 - n * u) times the sum of their sizes, in any order, with u = 2^-24.
    """
    # count + 1 products; the rounding of both vectors and of the score that is compared with it are four more
    return 1.01 * (count + 5) * 2.0**-24


def score(
    features: np.ndarray, rows: np.ndarray, ranking: Ranking, candidates: Ranking, *, margin: float
) -> np.ndarray:
    """Fill some rows of a ranking from candidates with bounds; which rows are decided, (R,)."""
    bounds = candidates.similarities, candidates.indices
    return score_candidates(readable(features), rows, bounds, margin, (ranking.similarities, ranking.indices))


def _search_in_full(features: np.ndarray, ranking: Ranking, rows: np.ndarray) -> None:
    """Fill rows of a ranking from the products with all images."""
    ranking.forget(rows)
    for columns in blocks(len(features)) if len(rows) else ():
        block = features[columns[0] : columns[-1] + 1].astype(np.float64)  # (C, D)
        for part in blocks(len(rows)):
            scores = features[rows[part]].astype(np.float64) @ block.T  # (R, C)
            ranking.merge(Tile(scores.astype(np.float32), rows[part], columns))
