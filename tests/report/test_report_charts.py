import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppreid.base.numbers import compact, line_path, nice_ticks
from ppreid.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, area_chart, line_chart, stacked_bars

FINITE = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


@given(FINITE, FINITE)
def test_ticks_enclose_the_values_evenly(a, b):
    low, high = sorted((a, b))
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    margin = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + margin
    assert ticks[-1] >= high - margin
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0"),
        (-2.0, "-2"),
        (1463, "1,463"),
        (1234.5, "1,234"),
        (999.96, "1000"),
        (43.12, "43.1"),
        (0.4711, "0.471"),
        (3.5e-4, "3.5e-4"),
        (2.5e7, "2.5e7"),
    ],
)
def test_numbers_in_few_characters(value, text):
    assert compact(value) == text


def test_a_line_begins_anew_after_a_gap():
    assert line_path([(0, 1), (2, 3), None, (4, 5)]) == "M0 1L2 3M4 5"
    lines = {"empty": [(1, None)], "a": [(1, 0.0), (2, None), (3, 10.0)]}
    chart = line_chart("t", lines, from_zero=True)
    assert [(series.name, series.style) for series in chart.series] == [("a", 2)]  # in every chart the same colour
    assert chart.series[0].path.count("M") == 2
    assert chart.series[0].dots == [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]
    assert chart.readout["texts"] == [["0", "\N{EN DASH}", "10"]]


def test_one_epoch_is_a_dot_in_the_middle():
    chart = line_chart("t", {"a": [(1, 5.0)]})
    assert chart.series[0].dots == [((LEFT + WIDTH - RIGHT) / 2, pytest.approx((HEIGHT - BOTTOM + TOP) / 2, abs=1))]
    assert [tick.text for tick in chart.x_ticks] == ["1"]


def test_nothing_to_show_is_no_chart():
    assert line_chart("t", {}) is None
    assert line_chart("t", {"a": [(1, None)]}) is None
    assert stacked_bars("t", {"a": [(1, 0.0)]}) is None


def test_many_epochs_have_whole_ticks_and_no_dots():
    chart = line_chart("t", {"a": [(epoch, float(epoch)) for epoch in range(1, 71)]})
    assert len(chart.series[0].dots) == 1  # the last
    assert 3 <= len(chart.x_ticks) <= 9
    assert all(tick.text.isdigit() for tick in chart.x_ticks)
    assert all(LEFT <= tick.at <= WIDTH - RIGHT for tick in chart.x_ticks)


def test_bars_stand_on_each_other():
    chart = stacked_bars("t", {"a": [(1, 1.0), (2, 2.0)], "b": [(1, 3.0), (2, None)]})
    bottom, top = chart.series
    assert bottom.path.count("M") == 2
    assert top.path.count("M") == 1
    # b of epoch 1 begins where a ends: a is 1 of an axis of 4
    assert f" {HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) / 4:.1f}" in top.path.replace("V", " ")


def test_areas_have_the_heights_of_the_bins():
    chart = area_chart("t", np.array([0.0, 1.0, 2.0]), {"a": np.array([0.0, 4.0])}, unit="%", note="", x_name="d")
    assert f"V{TOP}.0H{WIDTH - RIGHT}.0" in chart.series[0].path
    assert chart.readout["names"] == ["0.00 to 1.00", "1.00 to 2.00"]
