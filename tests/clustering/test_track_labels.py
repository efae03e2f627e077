import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ppreid.base.errors import DataError
from ppreid.base.progress import Stopwatch
from ppreid.clustering.labels import dbscan_labels
from ppreid.clustering.tracks import node_distances, node_labels, separated_labels, track_nodes


def unit(*angles):
    radians = np.deg2rad(np.array(angles, np.float32))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def graph(n, edges):
    """Symmetric sparse distances with their diagonal."""
    edges = [(i, i, 0.0) for i in range(n)] + [e for i, j, d in edges for e in ((i, j, d), (j, i, d))]
    rows, columns, values = zip(*edges, strict=True)
    return sparse.csr_matrix((np.array(values, np.float32), (rows, columns)), shape=(n, n))


# tracks as nodes


def test_a_track_is_a_node_and_so_is_an_image_without_one():
    assert track_nodes(np.array([7, -1, 3, 7, -1, 3])).tolist() == [0, 1, 2, 0, 3, 2]
    assert track_nodes(np.full(3, -1)).tolist() == [0, 1, 2]
    assert track_nodes(np.empty(0, np.int64)).tolist() == []


def test_the_node_of_a_track_is_the_direction_of_its_mean_and_its_first_camera():
    seen = {}

    def distance(features, camids, *, stopwatch):
        seen.update(features=features, camids=camids)
        return sparse.csr_matrix((len(features), len(features)), dtype=np.float32)

    nodes = np.array([0, 1, 0, 1, 2])
    node_distances(
        unit(0, 90, 60, 110, 200), np.array([4, 1, 4, 1, 2]), nodes=nodes, distance=distance, stopwatch=Stopwatch()
    )
    np.testing.assert_allclose(seen["features"], unit(30, 100, 200), atol=1e-6)
    assert seen["camids"].tolist() == [4, 1, 2]


def test_the_images_of_a_track_share_its_label_and_a_long_track_may_stand_alone():
    nodes = np.array([0, 0, 1, 2, 2, 2, 3])
    labels = np.array([-1, 0, -1, 0])
    clustered = node_labels(sparse.eye(4, format="csr"), nodes=nodes, clusterer=lambda _: labels)
    assert clustered.tolist() == [-1, -1, 0, -1, -1, -1, 0]
    alone = node_labels(sparse.eye(4, format="csr"), nodes=nodes, clusterer=lambda _: labels, min_images=3)
    assert alone.tolist() == [-1, -1, 0, 1, 1, 1, 0]
    two = node_labels(sparse.eye(4, format="csr"), nodes=nodes, clusterer=lambda _: labels, min_images=2)
    assert two.tolist() == [1, 1, 0, 2, 2, 2, 0]
    assert labels.tolist() == [-1, 0, -1, 0]


# tracks that must be apart


def test_a_chain_between_two_people_is_cut_at_its_weakest_link():
    chain = graph(5, [(0, 1, 0.1), (1, 2, 0.3), (2, 3, 0.2), (3, 4, 0.1)])
    labels = dbscan_labels(chain, eps=0.5, min_samples=2)
    assert labels.tolist() == [0] * 5
    apart = np.array([[0, 4]])
    parted = separated_labels(labels, chain, apart, groups=np.arange(5), min_samples=2)
    assert parted.tolist() == [0, 0, 1, 1, 1]


def test_a_part_that_is_too_small_becomes_outliers_and_other_clusters_stay():
    distances = graph(6, [(0, 1, 0.1), (1, 2, 0.2), (3, 4, 0.1), (4, 5, 0.1)])
    labels = np.array([1, 1, 1, 0, 0, 0])
    parted = separated_labels(labels, distances, np.array([[0, 2]]), groups=np.arange(6), min_samples=2)
    assert parted.tolist() == [0, 0, -1, 1, 1, 1]
    kept = separated_labels(labels, distances, np.array([[0, 2]]), groups=np.arange(6), min_samples=1)
    assert kept.tolist() == [0, 0, 1, 2, 2, 2]
    other_way_round = separated_labels(1 - labels, distances, np.array([[0, 2]]), groups=np.arange(6), min_samples=1)
    assert other_way_round.tolist() == [0, 0, 1, 2, 2, 2]


def test_pairs_as_far_apart_as_eps_are_joined():
    distances = graph(4, [(0, 1, 0.25), (1, 2, 0.5), (2, 3, 0.25)])
    for eps, wanted in ((0.25, [0, 0, 1, 1]), (0.2, [-1, -1, -1, -1])):
        parted = separated_labels(
            np.zeros(4, int), distances, np.array([[0, 3]]), groups=np.arange(4), min_samples=2, eps=eps
        )
        assert parted.tolist() == wanted


def test_where_nothing_is_wrong_labels_are_as_they_were():
    labels = np.array([1, 0, 1, 0, -1])
    distances = graph(5, [(0, 2, 0.1), (1, 3, 0.1), (0, 4, 0.1)])
    for apart in ([[0, 1], [2, 4]], np.empty((0, 2), int)):
        found = separated_labels(labels, distances, np.array(apart), groups=np.arange(5), min_samples=2)
        assert found.tolist() == labels.tolist()


@pytest.mark.parametrize("apart", [[[0, 5]], [[-1, 0]], [0, 1]])
def test_pairs_of_groups_that_there_are_not_are_refused(apart):
    with pytest.raises(DataError, match=r"expected pairs \(P, 2\) of groups from 0 to 2"):
        separated_labels(np.zeros(3, int), graph(3, []), np.array(apart), groups=np.arange(3), min_samples=1)


def oracle(labels, distances, apart, groups, min_samples, eps):
    """In plain loops: which clusters hold a pair, and Kruskal's algorithm on each of them."""
    dense, n = np.full(distances.shape, np.inf), len(labels)
    for i in range(n):
        for p in range(distances.indptr[i], distances.indptr[i + 1]):
            dense[i, distances.indices[p]] = distances.data[p]

    def forbidden(one, other):
        return any({groups[i], groups[j]} == {a, b} for i in one for j in other for a, b in apart)

    parts, split = [], False
    for label in sorted(set(labels) - {-1}):
        members = [i for i in range(n) if labels[i] == label]
        if not forbidden(members, members):
            parts.append(members)
            continue
        split, own = True, [[i] for i in members]
        pairs = sorted((dense[i, j], i, j) for i in members for j in members if i < j and dense[i, j] <= eps)
        for _, i, j in pairs:
            one, other = (next(part for part in own if node in part) for node in (i, j))
            if one is not other and not forbidden(one, other):
                own.remove(one)
                own.remove(other)
                own.append(one + other)
        parts += [part for part in own if len(part) >= min_samples]
    if not split:
        return list(labels)
    found = [-1] * n
    for number, part in enumerate(sorted(parts, key=min)):
        for i in part:
            found[i] = number
    return found


@st.composite
def cases(draw):
    n = draw(st.integers(2, 9))
    group = st.integers(0, n - 1)
    pair = st.tuples(group, group).filter(lambda ends: ends[0] != ends[1])
    weights = st.sampled_from([0.1, 0.2, 0.3, 0.6])  # many are equal
    edges = draw(st.dictionaries(pair.map(lambda ends: tuple(sorted(ends))), weights, max_size=20))
    groups = draw(st.one_of(st.just(list(range(n))), st.lists(group, min_size=n, max_size=n)))
    apart = [ends for ends in draw(st.lists(pair, max_size=5)) if max(ends) <= max(groups)]
    return graph(n, [(*ends, weight) for ends, weight in edges.items()]), groups, apart, draw(st.integers(1, 3))


@given(cases())
@settings(deadline=None, max_examples=60)
def test_separation_is_that_of_plain_loops_and_no_cluster_holds_a_pair(case):
    distances, groups, apart, min_samples = case
    labels = dbscan_labels(distances, eps=0.5, min_samples=2)
    pairs = np.array(apart, np.int64).reshape(-1, 2)
    found = separated_labels(labels, distances, pairs, groups=np.array(groups), min_samples=min_samples, eps=0.5)
    assert found.tolist() == oracle(labels.tolist(), distances, apart, groups, min_samples, 0.5)
    for one, other in apart:
        clusters = [{found[i] for i in range(len(groups)) if groups[i] == group} - {-1} for group in (one, other)]
        assert not clusters[0] & clusters[1]
