import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppreid.evaluation.inputs import Identities
from ppreid.report.ranked_queries import BEST, RANDOM, RIGHT, WORST, choose_queries, distance_histogram, rank_queries


def unit(degrees):
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1).astype(np.float32)


QUERY = unit([0.0])
GALLERY = unit([10.0, 20.0, 30.0, 40.0, 90.0])
IDS = Identities(np.array([1]), np.array([1, 2, -1, 1, 1]), np.array([0]), np.array([0, 1, 1, 1, 1]))


def test_a_list_leaves_out_junk_and_marks_right_and_wrong():
    (item,) = rank_queries(QUERY, GALLERY, IDS, [(0, WORST)], np.array([0.25]), ignore_camera=False, top_k=2)
    # item 0 is on the query's camera, item 2 unknown: 1, 3, 4 are left
    assert [(match.row, match.rank, match.verdict) for match in item.matches] == [(1, 1, "wrong"), (3, 2, RIGHT)]
    assert item.matches[0].distance == pytest.approx(2 * np.sin(np.deg2rad(10)), abs=1e-6)
    assert item.missed is None
    assert item.hits == 2
    assert (item.kind, item.average_precision) == (WORST, 0.25)


def test_the_first_right_match_is_shown_where_it_comes_later():
    (item,) = rank_queries(QUERY, GALLERY, IDS, [(0, WORST)], np.array([0.25]), ignore_camera=False, top_k=1)
    assert (item.missed.row, item.missed.rank) == (3, 2)


def test_cameras_can_be_ignored():
    (item,) = rank_queries(QUERY, GALLERY, IDS, [(0, BEST)], np.array([1.0]), ignore_camera=True, top_k=5)
    assert [match.row for match in item.matches] == [0, 1, 3, 4]


@given(st.lists(st.one_of(st.just(np.nan), st.floats(0, 1)), max_size=30), st.integers(1, 8))
def test_worst_and_best_are_chosen_among_those_that_are_not_random(values, per_kind):
    values = np.array(values, dtype=float)
    chosen = choose_queries(values, per_kind=per_kind, rng=np.random.default_rng(0))
    rows = {kind: [row for row, own in chosen if own == kind] for kind in (RANDOM, WORST, BEST)}
    every = [row for row, _ in chosen]
    assert len(set(every)) == len(every)
    assert not np.isnan(values[every]).any()
    assert all(len(part) <= per_kind for part in rows.values())
    others = sorted(values[row] for row in np.flatnonzero(~np.isnan(values)) if row not in rows[RANDOM])
    assert [values[row] for row in rows[WORST]] == others[: len(rows[WORST])]
    assert [values[row] for row in rows[BEST]] == others[::-1][: len(rows[BEST])]
    if (~np.isnan(values)).sum() >= 3 * per_kind:
        assert {len(part) for part in rows.values()} == {per_kind}


def test_the_histogram_counts_the_pairs_of_plain_loops():
    rng = np.random.default_rng(0)
    query, gallery = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in rng.normal(size=(2, 20, 4)))
    ids = Identities(*rng.integers(-1, 3, (4, 20)))
    found = distance_histogram(query, gallery, ids, ignore_camera=False, rng=rng)
    positives, negatives = [], []
    for q in range(20):
        for g in range(20):
            same = ids.query_pids[q] == ids.gallery_pids[g] != -1
            if ids.gallery_pids[g] == -1 or (same and ids.query_camids[q] == ids.gallery_camids[g]):
                continue
            (positives if same else negatives).append(np.linalg.norm(query[q] - gallery[g]))
    for values, shares in ((positives, found.positives), (negatives, found.negatives)):
        expected = np.histogram(values, bins=found.edges)[0]
        np.testing.assert_allclose(shares, 100 * expected / len(values), atol=1e-9)
        assert shares.sum() == pytest.approx(100)
