"""What approximate searches have in common: short vectors to search by, and full scores for the best in the end."""

from collections.abc import Sequence

import numpy as np

from ppreid.neighbours import certified
from ppreid.neighbours.ranking import Ranking
from ppreid.neighbours.tiles import Matmul, nearest_of_sample

SAMPLE = 256  # images whose true neighbours are searched first
# Candidates beyond the k wanted that are scored in full.
SPARE = 34
# Share of the sample's neighbours that must be among the candidates by their short vectors; otherwise more directions
# are tried, and then the features as they are.
ENOUGH = 0.98
# Neighbours of each image whose neighbours are tried as well: 400 more comparisons, fewer than 300 of them new.
FOLLOWED = 20


def short_vectors(
    features: np.ndarray,
    sample: np.ndarray,
    truth: list[np.ndarray],
    rankings: Sequence[Ranking],
    *,
    rng: np.random.Generator,
    matmul: Matmul,
) -> np.ndarray:
    """Vectors by which the true neighbours of a sample are found; the features where no short ones do.

    Args:
        features: (N, D) unit rows, float32 or float16.
        sample: (S,) image numbers.
        truth: true neighbours of the sample, for each ranking, see `nearest_of_sample`.
        rankings: what is looked for.
        rng: draws the images from which directions are learnt.
        matmul: as in `exact_tiles`.

    Returns:
        (N, directions + 1) float32, see `certified.short_vectors`, or the very features.
    """
    if len(features) < certified.MIN_IMAGES or features.shape[1] < certified.MIN_DIM:
        return features
    directions = certified.directions(features, max(certified.NUM_DIRECTIONS), rng)
    for count in certified.NUM_DIRECTIONS:
        short = certified.short_vectors(features, directions[:, :count])  # (N, count + 1)
        near = nearest_of_sample(short, sample, rankings, spare=SPARE, matmul=matmul)
        kept = [
            np.isin(true, found) for pair in zip(truth, near, strict=True) for true, found in zip(*pair, strict=True)
        ]
        if np.mean(np.concatenate(kept)) >= ENOUGH:
            return short
    return features


def candidates_for(rankings: Sequence[Ranking], *, shortened: bool) -> Sequence[Ranking]:
    """What a search fills: rankings with places to spare where vectors are short, and the rankings where they are not.

    Args:
        rankings: what is looked for, empty.
        shortened: whether the search compares `short_vectors`.
    """
    return [ranking.like(spare=SPARE) for ranking in rankings] if shortened else rankings


def finish(
    features: np.ndarray,
    vectors: np.ndarray,
    rankings: Sequence[Ranking],
    found: Sequence[Ranking],
    *,
    own_list: np.ndarray,
) -> None:
    """Try the neighbours of neighbours, and score the best candidates in full.

    Args:
        features: (N, D), as for `short_vectors`.
        vectors: what the search compared, from `short_vectors`.
        rankings: empty; filled in place.
        found: `candidates_for` them, filled by the search.
        own_list: (N,) list of every image: images of a list have candidates in common, so they come one after the
            other, and features on a disk are read part by part.
    """
    # all kinds lead to all kinds: the neighbour of a neighbour in another camera may be in one's own
    followed = np.hstack([ranking.indices[:, : FOLLOWED // len(found)] for ranking in found])
    for ranking in found:
        ranking.refine(vectors, followed)
    if vectors is not features:
        margin, in_lists = certified.margin(vectors.shape[1] - 1), np.argsort(own_list, kind="stable")
        for ranking, candidates in zip(rankings, found, strict=True):
            certified.score(features, in_lists, ranking, candidates, margin=margin)
