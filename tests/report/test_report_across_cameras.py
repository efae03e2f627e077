"""Rank lists without labels, against plain loops."""

import numpy as np
import pytest

from ppreid.report.across_cameras import rank_across_cameras


def unit(rng, count):
    rows = rng.normal(size=(count, 5))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [40, 300])  # one block of queries, and more
def test_the_lists_are_those_of_plain_loops(count):
    rng = np.random.default_rng(0)
    features, camids, labels = unit(rng, count), rng.integers(-1, 3, count), rng.integers(-1, 4, count)
    lists = rank_across_cameras(features, camids, labels, per_kind=5, rng=np.random.default_rng(1), top_k=7)
    assert [item.kind for item in lists] == ["random"] * 5 + ["worst"] * 5 + ["best"] * 5
    first = {}
    for item in range(count):
        others = [other for other in range(count) if camids[other] not in (-1, camids[item])]
        if camids[item] >= 0:
            distances = {other: np.linalg.norm(features[item] - features[other]) for other in others}
            first[item] = sorted(distances, key=distances.get)[:7], distances
    for query in lists:
        order, distances = first[query.row]
        assert [match.row for match in query.matches] == order
        assert query.cluster == labels[query.row]
        for match in query.matches:
            assert match.distance == pytest.approx(distances[match.row], abs=1e-3)
            assert match.is_alike == (labels[match.row] == labels[query.row] >= 0)
    nearest = {row: min(distances.values()) for row, (_, distances) in first.items()}
    random = {query.row for query in lists[:5]}
    ordered = sorted((row for row in nearest if row not in random), key=nearest.get)
    # two images may be the nearest of each other, so that distances are compared and not rows
    for part, expected in ((lists[5:10], ordered[::-1][:5]), (lists[10:], ordered[:5])):
        found = [nearest[query.row] for query in part]
        assert found == pytest.approx([nearest[row] for row in expected]) and len({query.row for query in part}) == 5


def test_without_labels_nothing_is_alike_and_outliers_are_like_nobody():
    features, camids = unit(np.random.default_rng(0), 6), np.array([0, 1] * 3)
    for labels in (None, np.full(6, -1)):
        lists = rank_across_cameras(features, camids, labels, per_kind=2, rng=np.random.default_rng(1))
        assert len(lists) == 6 and not any(match.is_alike for query in lists for match in query.matches)
        assert {query.cluster for query in lists} == {None if labels is None else -1}
        assert {len(query.matches) for query in lists} == {3}  # there are no more


@pytest.mark.parametrize("camids", [np.zeros(6, int), np.full(6, -1), np.array([0, 0, 0, -1, -1, -1])])
def test_with_fewer_than_two_cameras_there_is_nothing_to_rank(camids):
    features = unit(np.random.default_rng(0), 6)
    assert rank_across_cameras(features, camids, None, per_kind=2, rng=np.random.default_rng(1)) == []
