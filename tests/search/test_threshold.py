import csv
import io
import json

import pytest

from ppreid.base.errors import DataError
from ppreid.search.results import Match, SearchResult, results_csv, results_json, results_table
from ppreid.search.threshold import Threshold, judged, read_threshold, write_threshold

SHA = "ab" * 32
THRESHOLD = Threshold(0.7, 0.4, 0.01, SHA)
RESULT = SearchResult("q.jpg", "", (Match("a.jpg", 0.9, ""), Match("b.jpg", 0.5, ""), Match("c.jpg", 0.1, "")))


def test_a_similarity_is_the_same_person_not_sure_or_other():
    wanted = {0.71: "same person", 0.7: "same person", 0.69: "not sure", 0.4: "not sure", 0.39: "other", -1.0: "other"}
    assert {similarity: THRESHOLD.verdict(similarity) for similarity in wanted} == wanted


def test_a_threshold_is_of_one_network(tmp_path):
    path = tmp_path / "threshold.json"
    assert read_threshold(path, SHA) is None
    write_threshold(path, THRESHOLD)
    assert read_threshold(path, SHA) == THRESHOLD
    assert read_threshold(path, "cd" * 32) is None


def test_a_threshold_is_of_one_way_to_compare(tmp_path):
    path, beside_colour = tmp_path / "threshold.json", {"share of colour": "0.3"}
    write_threshold(path, THRESHOLD._replace(compared_by=beside_colour))
    assert read_threshold(path, SHA, beside_colour) == THRESHOLD._replace(compared_by=beside_colour)
    assert read_threshold(path, SHA) is None
    assert read_threshold(path, SHA, {"share of colour": "0.5"}) is None
    write_threshold(path, THRESHOLD)
    assert read_threshold(path, SHA, beside_colour) is None


@pytest.mark.parametrize(
    "change",
    [
        {"same": "high"},
        {"same": 0.3},
        {"other": -2},
        {"version": 2},
        {"format": "x"},
        {"more": 1},
        {"weights_sha256": 3},
        {"compared_by": 3},
    ],
)
def test_a_damaged_threshold_is_refused_with_what_to_do(tmp_path, change):
    write_threshold(tmp_path / "threshold.json", THRESHOLD)
    content = json.loads((tmp_path / "threshold.json").read_text())
    (tmp_path / "threshold.json").write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=r"threshold\.json is .*; remove it, or make it anew"):
        read_threshold(tmp_path / "threshold.json", SHA)


def test_people_and_programs_read_the_verdict_where_there_is_one():
    (found,) = judged([RESULT], THRESHOLD)
    assert [match.verdict for match in found.matches] == ["same person", "not sure", "other"]
    assert results_table([found]).splitlines()[1:3] == [
        "     1   0.900  same person  a.jpg",
        "     2   0.500  not sure     b.jpg",
    ]
    assert [row["verdict"] for row in csv.DictReader(io.StringIO(results_csv([found])))][2] == "other"
    assert json.loads(results_json([found]))[0]["matches"][1]["verdict"] == "not sure"


def test_without_a_threshold_results_are_as_they_were():
    assert judged([RESULT], None) == [RESULT]
    assert results_csv([RESULT]).splitlines()[0] == "query,rank,path,similarity,camera"
    assert "verdict" not in results_json([RESULT]) and "same person" not in results_table([RESULT])
