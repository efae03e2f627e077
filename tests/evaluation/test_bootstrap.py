import itertools
import math

import numpy as np
import pytest

from ppreid.base.errors import EvaluationError
from ppreid.evaluation.bootstrap import paired_bootstrap


def oracle(first, second, rng, draws):
    """The docstring in plain loops."""
    seeds, queries = len(first), len(first[0])
    found = []
    for _ in range(draws):
        drawn_seeds, drawn_queries = rng.integers(seeds, size=seeds), rng.integers(queries, size=queries)
        total = 0.0
        for s in drawn_seeds:
            for q in drawn_queries:
                total += first[s][q] - second[s][q]
        found.append(total / (seeds * queries))
    found.sort()

    def quantile(share):
        place = share * (len(found) - 1)
        low = math.floor(place)
        high = min(low + 1, len(found) - 1)
        return found[low] + (place - low) * (found[high] - found[low])

    below, above = sum(value <= 0 for value in found), sum(value >= 0 for value in found)
    total = sum(first[s][q] - second[s][q] for s in range(seeds) for q in range(queries))
    p = min(1.0, 2 * (1 + min(below, above)) / (1 + draws))
    return total / (seeds * queries), quantile(0.025), quantile(0.975), p


@pytest.mark.parametrize(("seeds", "queries"), [(1, 1), (1, 7), (3, 5), (4, 2)])
def test_it_is_the_definition_in_plain_loops(seeds, queries):
    rng = np.random.default_rng(seeds)
    first, second = rng.normal(0.3, 1, (seeds, queries)), rng.normal(0, 1, (seeds, queries))
    found = paired_bootstrap(first, second, rng=np.random.default_rng(5), draws=60)
    expected = oracle(first.tolist(), second.tolist(), np.random.default_rng(5), 60)
    assert found[:4] == pytest.approx(expected, abs=1e-12)
    assert found[4:] == (seeds, queries)


def test_the_draws_have_the_distribution_of_all_that_are_possible():
    differences = np.array([[4.0, -1.0], [0.0, 2.0]])
    every = [
        np.mean([differences[s, q] for s in seeds for q in queries])
        for seeds in itertools.product(range(2), repeat=2)
        for queries in itertools.product(range(2), repeat=2)
    ]
    found = paired_bootstrap(differences, np.zeros((2, 2)), rng=np.random.default_rng(0), draws=4000)
    assert found.mean == differences.mean()
    assert (found.low, found.high) == (min(every), max(every)) == (-1.0, 4.0)
    share = 2 * sum(value <= 0 for value in every) / len(every)
    assert found.p == pytest.approx(min(share, 1), abs=0.05)


def test_a_seed_that_differs_from_the_others_widens_the_interval_however_many_queries_there_are():
    same = np.full((3, 200), 1.0)
    apart = np.repeat([[-5.0], [1.0], [7.0]], 200, axis=1)  # the same mean
    narrow, wide = (paired_bootstrap(each, 0 * each, rng=np.random.default_rng(0)) for each in (same, apart))
    assert narrow.mean == wide.mean == narrow.low == narrow.high == 1.0
    assert wide.low < -3 and wide.high > 5
    assert narrow.p == 2 / 2001 and wide.p > 0.5


def test_the_other_way_round_it_is_the_negative():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 9)), rng.normal(size=(2, 9))
    one = paired_bootstrap(first, second, rng=np.random.default_rng(2))
    other = paired_bootstrap(second, first, rng=np.random.default_rng(2))
    assert (one.mean, one.low, one.high, one.p) == pytest.approx((-other.mean, -other.high, -other.low, other.p))


def test_equal_methods_do_not_differ():
    same = np.random.default_rng(0).random((3, 8))
    assert paired_bootstrap(same, same, rng=np.random.default_rng(0))[:4] == (0, 0, 0, 1)


def test_queries_without_a_match_are_left_out():
    first = np.array([[1.0, np.nan, 3.0], [2.0, 5.0, np.nan]])
    found = paired_bootstrap(first, np.zeros((2, 3)), rng=np.random.default_rng(0))
    assert (found.num_queries, found.mean) == (1, 1.5)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"differ in shape, \(2, 3\) and \(3, 2\)"),
        (np.zeros(3), np.zeros(3), "differ in shape"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "no query has a value in every run"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "no query has a value in every run"),
    ],
)
def test_what_cannot_be_compared_is_said(first, second, message):
    with pytest.raises(EvaluationError, match=message):
        paired_bootstrap(first, second, rng=np.random.default_rng(0))
