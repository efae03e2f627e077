"""How results show themselves, and become tables."""

import builtins
import sys

import numpy as np
import pytest
from PIL import Image

from ppreid.api.shown import MOST_PICTURES, MOST_ROWS, Clusters, Comparison, Found, Trained
from ppreid.base.errors import ConfigError
from ppreid.search.results import Match, SearchResult

EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def red():
    return Image.new("RGB", (16, 32), "red")


def test_strangers_names_are_escaped_everywhere(red):
    found = Found([SearchResult(EVIL, EVIL, (Match(EVIL, 0.5, EVIL, EVIL),))], {EVIL: red})
    clusters = Clusters(np.zeros(1, np.int64), [EVIL], [EVIL], {EVIL: red})
    pages = [found, clusters, Comparison(0.5, EVIL, (EVIL, EVIL), {}), Trained(EVIL, [], [{"epoch": 1, "loss": EVIL}])]
    for page in pages:
        text = page._repr_html_()
        assert "<img src=x" not in text and 'onerror="' not in text and "&lt;img src=x" in text


def test_a_search_shows_query_and_matches_with_pictures(tmp_path, red):
    red.save(tmp_path / "a.png")
    matches = tuple(Match(str(tmp_path / name), 0.5, "hall") for name in ("a.png", "gone.png"))
    text = Found([SearchResult("image 0", "", matches)], {"image 0": red})._repr_html_()
    assert text.count('src="data:image/jpeg;base64,') == 2 and text.count("no picture") == 1
    assert "0.500<br>hall<br>a.png" in text
    assert red.size == (16, 32)  # only a copy was made smaller


def test_of_many_the_first_are_shown(red):
    matches = tuple(Match(f"{number}.png", 0.5, "") for number in range(MOST_PICTURES + 5))
    text = Found([SearchResult("q", "", matches)] * (MOST_ROWS + 2), {})._repr_html_()
    assert text.count("<figure") == MOST_ROWS * (MOST_PICTURES + 1) and "and 2 more queries" in text
    labels = np.arange(MOST_ROWS + 3).repeat(2)
    clusters = Clusters(labels, [str(row) for row in range(len(labels))], None, {})
    assert "and 3 more clusters" in clusters._repr_html_()
    assert clusters._repr_html_().count("<figure") == 2 * MOST_ROWS


def test_clusters_are_shown_by_size_without_outliers():
    clusters = Clusters(np.array([0, 1, 1, -1]), ["a", "b", "c", "d"], ["hall", "hall", "yard", "yard"], {})
    text = clusters._repr_html_()
    assert text.index("cluster 1: 2 images") < text.index("cluster 0: 1 images")
    assert "1 outliers of 4 images" in text and "b<br>hall" in text and "d<br>" not in text
    none = Clusters(np.array([-1]), ["a"], None, {})
    assert (none.num_clusters, none.num_outliers) == (0, 1) and "<figure" not in none._repr_html_()


def test_tables():
    results = [
        SearchResult("q", "", (Match("a", 0.5, "hall"), Match("b", 0.25, "", "other"))),
        SearchResult("r", "", ()),
    ]
    frame = Found(results, {}).to_pandas()
    assert frame.fillna("").to_dict("list") == {
        "query": ["q", "q"],
        "rank": [1, 2],
        "path": ["a", "b"],
        "similarity": [0.5, 0.25],
        "camera": ["hall", ""],
        "verdict": ["", "other"],
    }
    clusters = Clusters(np.array([0, -1]), ["a", "b"], None, {})
    assert clusters.to_pandas().to_dict("list") == {"image": ["a", "b"], "cluster": [0, -1]}
    evaluations = [{"event": "evaluation", "epoch": epoch, "mAP": 10.0 * epoch} for epoch in (0, 2)]
    epochs = [{"event": "epoch", "epoch": epoch, "loss": 1.0 / epoch} for epoch in (1, 2)]
    frame = Trained("run", evaluations, epochs).to_pandas()
    assert frame["epoch"].tolist() == [0, 1, 2] and "event" not in frame
    assert frame["mAP"].fillna(-1).tolist() == [0, -1, 20] and frame["loss"].fillna(-1).tolist() == [-1, 1, 0.5]


def test_pandas_is_asked_for_by_name(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    real = builtins.__import__
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"to_pandas needs pandas, .*pip install 'pandas'"):
        Found([], {}).to_pandas()
    assert builtins.__import__ is real
