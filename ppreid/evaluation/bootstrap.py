"""How sure it is that one method is better than another: a paired bootstrap over queries and seeds."""

from typing import NamedTuple

import numpy as np

from ppreid.base.errors import EvaluationError

DRAWS = 2000
_LEVEL = 0.95


class Difference(NamedTuple):
    """A method minus another, in the unit of what was compared.

    Attributes:
        mean: over all queries and seeds.
        low: lower end of the interval that holds 95 % of the draws.
        high: its upper end.
        p: how often chance alone gives a difference as far from 0, two-sided; at least 2 / (number of draws + 1).
        num_seeds: S.
        num_queries: Q.
    """

    mean: float
    low: float
    high: float
    p: float
    num_seeds: int
    num_queries: int


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, *, rng: np.random.Generator, draws: int = DRAWS
) -> Difference:
    """Compare two methods on the same queries after training with the same seeds.

    With d[s, q] = first[s, q] - second[s, q], the difference is the mean of d. One draw takes S seeds and Q queries,
    both with replacement and independently of each other, and gives the mean of d over all S x Q pairs of a drawn seed
    and a drawn query. The interval reaches from the 2.5 to the 97.5 percentile of the draws (linear interpolation), and
    p = min(1, 2 (1 + m) / (1 + draws)), where m is the number of draws that are <= 0, or of those >= 0, if less.

    Args:
        first: (S, Q) average precision of every query after training with every seed; NaN where it has none.
        second: (S, Q) of the other method, row s with the same seed, column q of the same query.
        rng: draws; per draw first S numbers of seeds, then Q of queries.
        draws: at least 1.

    Returns:
        The difference; queries without a value in some row are left out. With one seed only queries are drawn, and the
        interval says nothing of another training.

    Raises:
        EvaluationError: the shapes differ, or no query has a value in all rows.

    Reference:
        Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979. Drawing rows and columns:
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007; it errs on the wide side.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise EvaluationError(f"values of seeds and queries differ in shape, {first.shape} and {second.shape}")
    differences = first - second  # (S, Q)
    differences = differences[:, ~np.isnan(differences).any(axis=0)]
    seeds, queries = differences.shape
    if not differences.size:
        raise EvaluationError("no query has a value in every run, so that nothing can be compared")
    found = np.empty(draws)
    for draw in range(draws):
        of_seeds = differences[rng.integers(seeds, size=seeds)].mean(axis=0)  # (Q,)
        found[draw] = of_seeds[rng.integers(queries, size=queries)].mean()
    low, high = np.quantile(found, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    fewer = min(np.count_nonzero(found <= 0), np.count_nonzero(found >= 0))
    p = min(1.0, 2 * (1 + fewer) / (1 + draws))
    return Difference(float(differences.mean()), float(low), float(high), p, seeds, queries)
