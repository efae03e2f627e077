import runpy

import numpy as np
import pytest

from ppreid.evaluation.ranking import evaluate_distances
from ppreid.tables import PROTOCOLS


@pytest.fixture(scope="module")
def example(checkout):
    """The names of docs/protocol_example.py."""
    return runpy.run_path(str(checkout / "docs" / "protocol_example.py"))


def evaluate(example, **settings):
    (query_pids, query_camids), (gallery_pids, gallery_camids) = example["QUERY"].T, example["GALLERY"].T
    return evaluate_distances(example["DISTANCES"], query_pids, gallery_pids, query_camids, gallery_camids, **settings)


def test_the_document_shows_the_example_and_every_protocol(example, checkout):
    text = (checkout / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert "\n".join(example["example_rows"]()) in text
    for name in PROTOCOLS:
        assert text.count(f"\n| {name} |") == 2


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        # A's ranking: wrong, match = distractor, match; B finds its match first; C and D have none
        ("market1501", [(1 / 3 + 2 / 4) / 2, 1.0]),
        ("market1501_trapezoid", [((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2, 1.0]),
        ("fastreid", [(1 / 2 + 2 / 4) / 2, 1.0]),
        ("all_queries", [(1 / 3 + 2 / 4) / 2, 1.0, 0.0, 0.0]),
    ],
)
def test_example_by_hand(example, protocol, expected):
    result = evaluate(example, protocol=protocol)
    assert result.average_precision[:2] == pytest.approx(expected[:2])
    assert np.isnan(result.average_precision[2:]).all()
    assert result.mean_ap == pytest.approx(np.mean(expected))
    assert result.cmc[0] == 1 / len(expected)
    assert result.mean_inp == pytest.approx((2 / 4 + 1) / len(expected))
    assert (result.num_valid_queries, result.num_same_camera_only, result.num_identity_absent) == (2, 1, 1)


def test_example_without_cameras_by_hand(example):
    result = evaluate(example, ignore_camera=True)
    assert result.average_precision[:3] == pytest.approx([(1 / 1 + 2 / 4 + 3 / 5) / 3, 1.0, 1.0])
    assert (result.num_valid_queries, result.num_same_camera_only, result.num_identity_absent) == (3, 0, 1)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_ties_of_a_wrong_item_and_a_match(protocol):
    """market1501 does not look at the order of the gallery; the others take equal distances in that order."""
    match_first = evaluate_distances(np.zeros((1, 2)), [1], [1, 2], [0], [1, 1], protocol=protocol)
    match_last = evaluate_distances(np.zeros((1, 2)), [1], [2, 1], [0], [1, 1], protocol=protocol)
    expected = {"market1501": (0.5, 0.5), "all_queries": (0.5, 0.5), "fastreid": (1.0, 0.5)}
    expected["market1501_trapezoid"] = (1.0, 0.25)
    assert (match_first.mean_ap, match_last.mean_ap) == expected[protocol]
    assert (match_first.cmc[0], match_last.cmc[0]) == (1.0, 0.0)
