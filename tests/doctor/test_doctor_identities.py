import numpy as np
import pytest

from ppreid.base.errors import EvaluationError
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.doctor.identities import camera_table, check_cameras, check_queries, check_train_identities
from ppreid.evaluation.ranking import evaluate_features


def records(*pairs):
    """Images of (pid, camid)."""
    return tuple(ImageRecord(f"{row}_{pid}_{camid}.jpg", pid, camid) for row, (pid, camid) in enumerate(pairs))


def test_the_table_counts_images_and_identities_per_camera():
    split = ReIDSplit(records((1, 0), (1, 0), (2, 0), (2, 1)), records((5, 1)), records((5, 0), (0, 0), (0, 0)))
    assert [line.split() for line in camera_table(split).splitlines()[1:]] == [
        ["1", "3", "(2)", "0", "(0)", "3", "(1)"],  # the gallery's distractors are images, but nobody
        ["2", "1", "(1)", "1", "(1)", "0", "(0)"],
    ]


def test_many_cameras_are_cut():
    table = camera_table(ReIDSplit(records(*((1, camid) for camid in range(30))), (), ()))
    assert table.splitlines()[-1] == "... (6 more cameras)"


def test_unknown_cameras_and_a_single_training_camera_are_warnings():
    unknown = check_cameras(ReIDSplit(records((1, -1), (1, 0)), (), ()))[1]
    assert (unknown.level, unknown.items) == ("warning", ("0_1_-1.jpg",))
    single = check_cameras(ReIDSplit(records((1, 3), (2, 3)), records((1, 0)), records((1, 1))))[1]
    assert "one camera" in single.text
    assert len(check_cameras(ReIDSplit(records((1, 0), (2, 1)), (), ()))) == 1


def test_cameras_that_training_never_saw_are_named():
    train, query, gallery = records((1, 0), (2, 1)), records((3, 2)), records((3, 1), (3, 3))
    finding = check_cameras(ReIDSplit(train, query, gallery))[1]
    assert (finding.level, finding.items) == ("warning", ("3", "4"))
    named = check_cameras(ReIDSplit(train, query, gallery), ("cam1", "cam2", "c1", "c2"))[1]
    assert named.items == ("c1", "c2") and "cam1 and c1" in named.advice
    assert len(check_cameras(ReIDSplit(train, records((3, 1)), gallery[:1]))) == 1
    unknown = records((1, -1), (2, -1))
    assert all("do not occur" not in found.text for found in check_cameras(ReIDSplit(unknown, query, gallery)))


def test_training_identities_are_counted():
    finding = check_train_identities(records((1, 0), (1, 1), (1, 1), (2, 0), (3, 1), (3, 1)))
    assert finding.level == "ok"
    assert "3 identities with 1 to 3 images each (mean 2.0)" in finding.text
    assert "2 seen by one camera only, 1 with one image" in finding.text


def test_unknown_identities_are_fine_and_identities_that_never_change_camera_are_not():
    assert "all 2 training images are unknown" in check_train_identities(records((-1, 0), (-1, 1))).text
    assert check_train_identities(records((1, 0), (2, 1), (2, 1))).level == "warning"


@pytest.mark.parametrize(
    ("query", "gallery", "ignore_camera", "level", "items"),
    [
        ([(1, 0)], [(1, 1)], False, "ok", 0),
        ([(1, 0), (2, 0)], [(1, 1), (2, 0)], False, "warning", 1),
        ([(1, 0), (2, 0)], [(1, 1), (2, 0)], True, "ok", 0),
        ([(1, 0), (-1, 0)], [(1, 1), (-1, 1)], False, "warning", 1),
        ([(1, 0), (2, 0)], [(1, 0), (3, 1)], False, "problem", 2),
        ([(1, 0)], [(2, 1)], True, "problem", 1),
    ],
)
def test_queries_need_a_match_from_another_camera(query, gallery, ignore_camera, level, items):
    finding = check_queries(records(*query), records(*gallery), ignore_camera=ignore_camera)[0]
    assert (finding.level, len(finding.items)) == (level, items)


def test_queries_without_a_match_are_those_that_evaluation_leaves_out():
    rng = np.random.default_rng(0)
    for _ in range(20):
        query = [(int(rng.integers(1, 6)), int(rng.integers(2))) for _ in range(5)]
        gallery = [(int(rng.integers(1, 6)), int(rng.integers(2))) for _ in range(6)]
        invalid = check_queries(records(*query), records(*gallery), ignore_camera=False)[0].items
        (query_pids, query_camids), (gallery_pids, gallery_camids) = np.array(query).T, np.array(gallery).T
        features = rng.standard_normal((11, 4)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        try:
            valid = evaluate_features(
                features[:5], features[5:], query_pids, gallery_pids, query_camids, gallery_camids
            ).num_valid_queries
        except EvaluationError:
            valid = 0
        assert valid == len(query) - len(invalid)


def test_a_query_that_is_numbered_as_a_distractor_is_a_warning():
    findings = check_queries(records((0, 0), (1, 0)), records((0, 1), (1, 1)), ignore_camera=False)
    assert [finding.level for finding in findings] == ["ok", "warning"]
    assert "identity 0" in findings[1].text
