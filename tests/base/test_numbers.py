"""No table and no line of the log has a negative zero: every place that writes a number which may be one."""

import math
import re

import pytest

from ppreid.base.numbers import compact, fixed, num_columns, padded
from ppreid.base.records import ImageRecord
from ppreid.clustering.sweep import SweepRow, sweep_table
from ppreid.report.ablation_table import Spread
from ppreid.report.page import camera_and_distance
from ppreid.run.progress import Schedule
from ppreid.run.rows import epoch_line
from ppreid.search.results import Match, SearchResult, results_table

TINY = -1e-5
ROW = {
    "epoch": 1,
    "clusters": 2,
    "outliers": 0,
    "images": 4,
    "largest": 2,
    "pli_degree": 0.0,
    "lr": 0.0,
    "label_stability": TINY,
    "camera_mixing": TINY,
    "loss": TINY,
    "loss_lp": TINY,
    "label_quality": {"ari": TINY},
    "stage_seconds": {},
    "peak_memory_gb": 0.0,
}
PLACES = {
    "fixed": lambda: fixed(TINY, 3),
    "minus zero": lambda: fixed(-0.0, 1),
    "the line of an epoch": lambda: epoch_line(ROW, Schedule(2, 1, float, float), None),
    "a sweep": lambda: sweep_table([SweepRow(0.5, 2, 0, 2, TINY, TINY)], 4),
    "the table of an ablation": lambda: str(Spread(TINY, 0.1, 3)) + str(Spread(TINY, math.nan, 1)),
    "a search": lambda: results_table([SearchResult("a", "", (Match("b", TINY, ""),))]),
    "a rank list of the report": lambda: camera_and_distance(ImageRecord("a", 1, 0), TINY),
    "a number of the report": lambda: compact(-0.0),
}


@pytest.mark.parametrize("place", PLACES)
def test_zero_has_no_sign(place):
    text = PLACES[place]()
    assert "0.0" in text or text == "0"
    assert not re.search(r"-0(\.0*)?(?![\d.])", text.replace("e-0", "")), text


def test_other_numbers_keep_theirs():
    assert [fixed(value, 2) for value in (-0.006, 0.004, -1.5, 2)] == ["-0.01", "0.00", "-1.50", "2.00"]
    assert fixed(math.nan, 2) == "nan" and fixed(-math.inf, 1) == "-inf"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("hall", 4), ("大厅", 4), ("大厅 2", 6), ("\uff28\uff29", 4), ("\uff8a\uff9d", 2), ("e\u0301", 1)],
)
def test_signs_that_take_two_columns_of_a_terminal_are_counted_so(text, columns):
    assert num_columns(text) == columns
    assert padded(text, 8) == text + " " * (8 - columns) and padded(text, 0) == text


def test_columns_of_a_search_stand_below_each_other_whatever_the_script():
    matches = tuple(Match(f"{name}.jpg", 0.5, name) for name in ("大厅", "yard", "東門 3"))
    lines = results_table([SearchResult("q.jpg", "", matches)]).splitlines()[1:]
    starts = {num_columns(line[: line.rindex("  ")]) for line in lines}
    assert starts == {6 + 2 + 6 + 2 + 6}
