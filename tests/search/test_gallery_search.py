import csv
import io
import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import DataError
from ppreid.search import gallery as gallery_search
from ppreid.search.gallery import GallerySearch, InvertedLists, assign_lists, choose_method, learn_lists
from ppreid.search.results import Match, SearchResult, results_csv, results_json, results_table


def unit_rows(rng, n, dim=4):
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# 24 unit vectors whose products are exact in float32: no rounding decides who is more similar
GRID = np.float32([*(sign * row for sign in (1, -1) for row in np.eye(4)), *product((0.5, -0.5), repeat=4)])


def cosines_in_plain_loops(gallery, query, k, camids, own_row, own_camera, least):
    """Cosines of the images that may be shown, the most similar first."""
    shown = [
        float(query @ image)
        for row, image in enumerate(gallery)
        if row != own_row and not (own_camera >= 0 and camids[row] == own_camera) and query @ image >= least
    ]
    return sorted(shown, reverse=True)[:k]


@pytest.mark.parametrize("is_exact", [True, False])
@given(
    n=st.integers(1, 120),
    k=st.integers(1, 130),
    least=st.sampled_from([-1.0, 0.25, 0.5]),
    cameras=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_the_answer_is_that_of_plain_loops(is_exact, n, k, least, cameras, seed):
    rng = np.random.default_rng(seed)
    gallery, queries = rng.choice(GRID, n), rng.choice(GRID, 3)
    camids = rng.integers(-1, cameras, n)
    own_rows, own_cameras = rng.integers(-1, n, 3), rng.integers(-1, cameras, 3)
    lists = None if is_exact else learn_lists(gallery)
    search = GallerySearch([gallery[: n // 2], gallery[n // 2 :]], camids, lists)
    answers = search.nearest(
        queries, k, own_rows=own_rows, own_cameras=own_cameras, min_similarity=least, num_probes=1000
    )
    for query, answer in enumerate(answers):
        own_row, own_camera = own_rows[query], own_cameras[query]
        expected = cosines_in_plain_loops(gallery, queries[query], k, camids, own_row, own_camera, least)
        assert answer.similarities.tolist() == expected
        assert (gallery[answer.rows] @ queries[query]).tolist() == expected
        assert len(set(answer.rows)) == len(expected) and own_row not in answer.rows
        assert own_camera < 0 or own_camera not in camids[answer.rows]
        ties = np.diff(answer.similarities) == 0
        assert (np.diff(answer.rows)[ties] > 0).all()


def test_few_images_of_another_camera_are_found_behind_many_of_the_own():
    gallery = np.repeat(np.float32([[1, 0], [0, 1]]), [500, 3], axis=0)
    search = GallerySearch([gallery], np.repeat([0, 1], [500, 3]))
    (answer,) = search.nearest(gallery[:1], 5, own_rows=np.array([-1]), own_cameras=np.array([0]))
    assert answer.rows.tolist() == [500, 501, 502]


def test_one_list_is_looked_into_where_one_is_asked_for():
    gallery = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    lists = InvertedLists(np.eye(3, dtype=np.float32), assign_lists(np.eye(3, dtype=np.float32), gallery))
    assert lists.lists.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    search, nobody = GallerySearch([gallery], np.full(12, -1), lists), np.array([-1])
    (answer,) = search.nearest(gallery[5:6], 12, own_rows=nobody, own_cameras=nobody, num_probes=1)
    assert answer.rows.tolist() == [4, 5, 6, 7]


def test_learning_lists_is_repeatable():
    features = unit_rows(np.random.default_rng(0), 300)
    first, second = learn_lists(features), learn_lists(features)
    np.testing.assert_array_equal(first.centroids, second.centroids)
    np.testing.assert_array_equal(first.lists, second.lists)
    assert len(first.centroids) == round(4 * 300**0.5)


def test_auto_is_exact_for_galleries_that_are_not_large(monkeypatch):
    monkeypatch.setattr(gallery_search, "AUTO_EXACT_IMAGES", 10)
    assert [choose_method("auto", n) for n in (10, 11)] == ["exact", "ivf"]
    with pytest.raises(DataError, match="did you mean 'exact'"):
        choose_method("exakt", 5)


def test_features_that_are_not_of_unit_norm_are_refused():
    with pytest.raises(DataError, match="not of unit norm"):
        GallerySearch([np.ones((3, 2), np.float32)], np.zeros(3, int))


# the text of results

RESULTS = [
    SearchResult("/q/a.jpg", "hall", (Match("/g/b\n.jpg", 0.91234, "yard"), Match("/g/=c.jpg", 0.5, ""))),
    SearchResult("/q/\udcff.jpg", "", ()),
]


def test_results_as_text_json_and_csv():
    lines = results_table(RESULTS).splitlines()
    assert lines[:2] == ["/q/a.jpg (camera hall)", "     1   0.912  yard  /g/b\\n.jpg"]
    assert lines[-1].strip() == "nothing was found" and results_table(RESULTS).encode()
    rows = json.loads(results_json(RESULTS))
    assert rows[0]["matches"][1] == {"rank": 2, "path": "/g/=c.jpg", "similarity": 0.5, "camera": ""}
    assert rows[1] == {"query": "/q/\udcff.jpg", "camera": "", "matches": []}
    read = list(csv.DictReader(io.StringIO(results_csv(RESULTS), newline="")))
    assert [(row["rank"], row["path"]) for row in read] == [("1", "/g/b\n.jpg"), ("2", "/g/=c.jpg")]


DAY = 1714550400.0  # 1 May 2024, 8:00 UTC


def test_times_are_seconds_or_a_time_of_day_and_absent_where_unknown():
    matches = (
        Match("b.jpg", 0.9, "yard", time=DAY + 75.5),
        Match("c.jpg", 0.5, "yard"),
        Match("d.jpg", 0.4, "", time=0.0),
    )
    result = SearchResult("a.jpg", "hall", matches, DAY)
    assert results_table([result]).splitlines() == [
        "a.jpg (camera hall, 2024-05-01 08:00:00)",
        "     1   0.900  yard  2024-05-01 08:01:15  b.jpg",
        "     2   0.500  yard                       c.jpg",
        "     3   0.400                      0.0 s  d.jpg",
    ]
    (row,) = json.loads(results_json([result]))
    assert (row["time"], row["clock"]) == (DAY, "2024-05-01 08:00:00")
    first, second, third = row["matches"]
    assert (first["time"], first["clock"]) == (DAY + 75.5, "2024-05-01 08:01:15")
    assert second == {"rank": 2, "path": "c.jpg", "similarity": 0.5, "camera": "yard"}
    assert third["time"] == 0 and "clock" not in third
    read = list(csv.DictReader(io.StringIO(results_csv([result]), newline="")))
    assert [(line["time"], line["clock"]) for line in read] == [
        (str(DAY + 75.5), "2024-05-01 08:01:15"),
        ("", ""),
        ("0.0", ""),
    ]
    assert results_csv([result._replace(matches=matches[1:2])]).startswith("query,rank,path,similarity,camera\n")
    assert results_table([result._replace(camera="", time=3.04)]).startswith("a.jpg (3.0 s)\n")
