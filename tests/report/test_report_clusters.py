import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppreid.report.cluster_sheets import CAMERAS, LARGEST, MIXED, SPLIT, TrainingImages, cluster_sheets, outlier_group
from ppreid.report.tables import camera_facts, cluster_facts

IMAGES = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 5), st.integers(-1, 2)), min_size=1, max_size=40)


@given(IMAGES)
def test_facts_are_those_of_plain_loops(images):
    labels, pids, camids = np.array(images).T
    facts = cluster_facts(labels, pids, camids)
    assert [fact.images for fact in facts] == sorted((fact.images for fact in facts), reverse=True)
    assert {fact.cluster for fact in facts} == set(labels[labels >= 0].tolist())
    for fact in facts:
        members = [image for image in images if image[0] == fact.cluster]
        people = [pid for _, pid, _ in members]
        cameras = {camid for _, _, camid in members if camid >= 0}
        assert fact.images == len(members)
        assert fact.cameras == len(cameras)
        assert fact.identities == len(set(people))
        assert fact.purity == pytest.approx(max(map(people.count, people)) / len(people))
        if len(set(camids[camids >= 0].tolist())) < 2:
            assert fact.camera_mixing is None
        else:
            assert -1e-9 <= fact.camera_mixing <= 1 + 1e-9
            assert (len(cameras) < 2) == (fact.camera_mixing < 1e-9)


def test_evenly_mixed_cameras_score_one():
    facts = cluster_facts(np.zeros(4, int), np.full(4, -1), np.array([0, 1, 0, 1]))
    assert facts[0].camera_mixing == pytest.approx(1)
    assert facts[0].identities is None
    assert facts[0].purity is None


@given(IMAGES, st.integers(1, 4), st.integers(1, 7))
def test_sheets_show_what_belongs_to_them_and_never_more_than_asked_for(images, per_kind, limit):
    labels, pids, camids = np.array(images).T
    train = TrainingImages(labels, pids, camids)
    sheets = cluster_sheets(train, cluster_facts(labels, pids, camids), per_kind=per_kind, images=limit)
    for sheet in sheets:
        number = int(sheet.title.split()[1])
        rows = [row for group in sheet.groups for row in group.rows]
        expected = np.flatnonzero((pids if sheet.kind == SPLIT else labels) == number)
        assert 0 < len(rows) <= limit
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(expected.tolist())
        if len(sheet.groups) < limit:
            assert len(rows) + sum(group.more for group in sheet.groups) == len(expected)
    for kind in (LARGEST, MIXED, SPLIT):
        assert sum(sheet.kind == kind for sheet in sheets) <= per_kind


def test_mixed_and_split_ones_are_found_with_the_worst_first():
    pids = np.array([1, 1, 1, 1, 2, 2, 3, 3, 3, 3])
    labels = np.array([0, 0, 1, 1, 0, 0, 2, 2, 2, 3])
    train = TrainingImages(labels, pids, np.zeros(10, int))
    sheets = cluster_sheets(train, cluster_facts(labels, pids, train.camids), per_kind=5, images=20)
    assert [sheet.title for sheet in sheets if sheet.kind == MIXED] == ["Cluster 0"]
    split = [sheet for sheet in sheets if sheet.kind == SPLIT]
    assert [sheet.title for sheet in split] == ["Identity 1", "Identity 3"]
    assert [(group.name, group.rows) for group in split[0].groups] == [("cluster 0", [0, 1]), ("cluster 1", [2, 3])]


def test_without_identities_the_clusters_over_cameras_are_shown():
    labels, camids = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 1])
    train = TrainingImages(labels, np.full(5, -1), camids)
    sheets = cluster_sheets(train, cluster_facts(*train), per_kind=5, images=20)
    assert [(sheet.kind, sheet.title) for sheet in sheets] == [
        (LARGEST, "Cluster 0"),
        (LARGEST, "Cluster 1"),
        (CAMERAS, "Cluster 1"),
    ]


def test_a_short_sheet_shows_every_camera_first():
    camids = np.array([0, 0, 0, 0, 1, 2])
    train = TrainingImages(np.zeros(6, int), np.full(6, -1), camids)
    (group,) = cluster_sheets(train, cluster_facts(*train), per_kind=1, images=3)[0].groups
    assert camids[group.rows].tolist() == [0, 1, 2]
    assert group.more == 3


def test_outliers_and_cameras_are_counted():
    labels, camids = np.array([-1, 0, -1, -1]), np.array([0, 0, 1, -1])
    assert [tuple(fact) for fact in camera_facts(labels, camids)] == [(-1, 1, 1), (0, 2, 1), (1, 1, 1)]
    group = outlier_group(TrainingImages(labels, labels, camids), images=2, rng=np.random.default_rng(0))
    assert set(group.rows) < {0, 2, 3}
    assert group.more == 1


def test_thousands_of_clusters():
    labels = np.repeat(np.arange(4000), 5)
    train = TrainingImages(labels, np.arange(20_000) // 4, np.arange(20_000) % 6)
    facts = cluster_facts(*train)
    assert len(facts) == 4000
    assert len(cluster_sheets(train, facts, per_kind=8, images=18)) == 24
