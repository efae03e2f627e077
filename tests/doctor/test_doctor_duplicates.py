from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.doctor.duplicates import check_duplicates, check_names, content_digests, equal_groups, equal_in_size


def split_of(train=(), query=(), gallery=()):
    """Parts given as (path, pid) pairs."""
    return ReIDSplit(*(tuple(ImageRecord(path, pid, 0) for path, pid in part) for part in (train, query, gallery)))


TRAIN, QUERY, GALLERY = [("t0", 1), ("t1", 1), ("t2", 2)], [("q0", 1)], [("g0", 1), ("g1", 3)]  # rows 0-2, 3, 4-5


def judged(*groups):
    findings = check_duplicates(split_of(TRAIN, QUERY, GALLERY), [np.array(group) for group in groups])
    return [(finding.level, *finding.items) for finding in findings]


def test_only_files_of_equal_size_are_hashed_and_unreadable_ones_never():
    assert equal_in_size(np.array([5, 7, 5, -1, 8, -1, 7])).tolist() == [0, 1, 2, 6]
    assert equal_in_size(np.array([], np.int64)).tolist() == []


def test_files_are_equal_when_their_bytes_are(tmp_path):
    contents = [b"one", b"two", b"one", b"x" * 3_000_000, b"x" * 2_999_999 + b"y", b"x" * 3_000_000]
    for row, content in enumerate(contents):
        (tmp_path / str(row)).write_bytes(content)
    paths = [str(tmp_path / str(row)) for row in range(len(contents))]
    digests = list(content_digests([*paths, str(tmp_path / "gone"), str(tmp_path / "gone")], num_workers=2))
    groups = equal_groups(np.arange(8), digests)
    assert sorted(group.tolist() for group in groups) == [[0, 2], [3, 5]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["", "00", "a0", "ff", "0a"]), max_size=30))
def test_groups_are_those_of_a_dictionary(digests):
    rows = np.arange(len(digests)) * 3 + 1
    expected = defaultdict(list)
    for row, digest in zip(rows.tolist(), digests, strict=True):
        if digest:
            expected[digest].append(row)
    groups = [group.tolist() for group in equal_groups(rows, digests)]
    assert sorted(groups) == sorted(group for group in expected.values() if len(group) > 1)


def test_no_copies_are_fine():
    assert judged() == [("ok",)]


def test_a_training_image_that_is_a_test_image_is_a_problem():
    assert judged([2, 3]) == [("problem", "t2 = q0")]
    assert judged([0, 5]) == [("problem", "t0 = g1")]


def test_copies_on_one_side_are_warnings():
    assert judged([0, 1]) == [("warning", "t0 = t1")]
    assert judged([3, 4]) == [("warning", "q0 = g0")]


def test_copies_that_are_said_to_be_different_people_are_reported_as_such():
    assert judged([1, 2]) == [("warning", "t1 = t2"), ("warning", "t1 = t2")]
    findings = check_duplicates(split_of(TRAIN, QUERY, GALLERY), [np.array([3, 5])])
    assert ["different identities" in finding.text for finding in findings] == [True, False]


def test_a_group_across_everything_is_reported_under_every_heading():
    line = "t0 = t2 = q0 = g1"
    assert judged([0, 2, 3, 5]) == [("problem", line)] + 3 * [("warning", line)]


def test_file_names_are_compared_without_their_folders():
    assert check_names(split_of([("a/x.jpg", 1)], [("b/y.jpg", 1)], [("b/z.jpg", 1)])).level == "ok"
    finding = check_names(split_of([("a/x.jpg", 1)], [("b/x.jpg", 1)], [("b/z.jpg", 1)]))
    assert (finding.level, finding.items) == ("warning", ("a/x.jpg and b/x.jpg",))
