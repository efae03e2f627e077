"""Geometry of the charts: numbers to paths and ticks in a small drawing; the template puts them into SVG."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.numbers import compact, line_path, nice_ticks, scale, span

WIDTH, HEIGHT = 380, 214
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 30
_DOTS = 40  # a line of more points is drawn without dots

Points = Sequence[tuple[float, float | None]]


class Tick(NamedTuple):
    """A mark on an axis: place in the drawing and its text."""

    at: float
    text: str


class Drawn(NamedTuple):
    """One series.

    Attributes:
        name: for the legend.
        style: 1-based number of its colour and dash.
        path: of the line, or the outline of an area, in SVG's path language.
        dots: (x, y) of the points.
        last: text of the last value.
    """

    name: str
    style: int
    path: str
    dots: list[tuple[float, float]]
    last: str


class Chart(NamedTuple):
    """A drawing of WIDTH x HEIGHT.

    Attributes:
        title: what is shown.
        unit: of the vertical axis.
        note: one sentence that says how to read it.
        x_name: of the horizontal axis.
        x_ticks: its marks.
        y_ticks: marks of the vertical axis.
        series: the lines or areas.
        is_area: series are filled outlines.
        readout: values for the pointer: places x, their names, and one list of texts per series.
    """

    title: str
    unit: str
    note: str
    x_name: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    series: list[Drawn]
    is_area: bool
    readout: dict[str, Any]


def line_chart(
    title: str,
    lines: dict[str, Points],
    *,
    unit: str = "",
    note: str = "",
    x_name: str = "epoch",
    from_zero: bool = False,
) -> Chart | None:
    """Lines over a common horizontal axis.

    Args:
        title: what is shown.
        lines: (x, y) by name; None interrupts a line. A line without any value is left out.
        unit: of the vertical axis.
        note: one sentence that says how to read it.
        x_name: of the horizontal axis.
        from_zero: the vertical axis begins at 0.

    Returns:
        The chart; None if there is nothing to show.
    """
    styles = {name: style for style, name in enumerate(lines, start=1)}  # what is left out keeps its colour free
    lines = {name: points for name, points in lines.items() if any(y is not None for _, y in points)}
    if not lines:
        return None
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points if y is not None]
    to_x = scale(*span(xs[0], xs[-1]), LEFT, WIDTH - RIGHT)
    y_ticks = nice_ticks(0.0 if from_zero else min(ys), max(ys))
    to_y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn = []
    for name, points in lines.items():
        placed = [None if y is None else (to_x(x), to_y(y)) for x, y in points]
        known = [point for point in placed if point]
        last = next(y for _, y in reversed(points) if y is not None)
        dots = known if len(known) <= _DOTS else known[-1:]
        drawn.append(Drawn(name, styles[name], line_path(placed), dots, compact(last)))
    by_name = {name: dict(points) for name, points in lines.items()}
    texts = [[compact(by_name[name].get(x)) for x in xs] for name in lines]
    return Chart(
        title,
        unit,
        note,
        x_name,
        _x_ticks(xs, to_x),
        [Tick(to_y(value), compact(value)) for value in y_ticks],
        drawn,
        False,
        {"x": [to_x(x) for x in xs], "names": [f"{x_name} {compact(x)}" for x in xs], "texts": texts},
    )


def stacked_bars(title: str, bars: dict[str, Points], *, unit: str = "", note: str = "") -> Chart | None:
    """Parts of a whole, one bar per place.

    Args:
        title: what is shown.
        bars: (x, y) by name, from bottom to top; None is nothing.
        unit: of the vertical axis.
        note: one sentence that says how to read it.

    Returns:
        The chart; None if there is nothing to show.
    """
    bars = {name: points for name, points in bars.items() if any(y for _, y in points)}
    if not bars:
        return None
    xs = sorted({x for points in bars.values() for x, _ in points})
    heights = np.array([[dict(points).get(x) or 0.0 for x in xs] for points in bars.values()])  # (parts, X)
    tops = np.cumsum(heights, axis=0)
    to_x = scale(xs[0] - 0.5, xs[-1] + 0.5, LEFT, WIDTH - RIGHT)
    y_ticks = nice_ticks(0.0, float(tops.max()))
    to_y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn = []
    for style, (name, top, height) in enumerate(zip(bars, tops, heights, strict=True), start=1):
        boxes = [
            f"M{to_x(x - 0.4)} {to_y(a - h)}H{to_x(x + 0.4)}V{to_y(a)}H{to_x(x - 0.4)}Z"
            for x, a, h in zip(xs, top, height, strict=True)
            if h > 0
        ]
        drawn.append(Drawn(name, style, "".join(boxes), [], compact(float(height[-1]))))
    texts = [[compact(float(value)) for value in row] for row in heights]
    readout = {"x": [to_x(x) for x in xs], "names": [f"epoch {compact(x)}" for x in xs], "texts": texts}
    ticks = [Tick(to_y(value), compact(value)) for value in y_ticks]
    return Chart(title, unit, note, "epoch", _x_ticks(xs, to_x), ticks, drawn, True, readout)


def area_chart(
    title: str, edges: np.ndarray, shares: dict[str, np.ndarray], *, unit: str, note: str, x_name: str
) -> Chart:
    """Histograms over the same bins, as filled outlines.

    Args:
        title: what is shown.
        edges: (bins + 1,) of the bins.
        shares: (bins,) heights by name.
        unit: of the vertical axis.
        note: one sentence that says how to read it.
        x_name: of the horizontal axis.
    """
    to_x = scale(float(edges[0]), float(edges[-1]), LEFT, WIDTH - RIGHT)
    y_ticks = nice_ticks(0.0, max(float(values.max()) for values in shares.values()))
    to_y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn = []
    for style, (name, values) in enumerate(shares.items(), start=1):
        steps = "".join(f"V{to_y(float(y))}H{to_x(float(x))}" for y, x in zip(values, edges[1:], strict=True))
        path = f"M{to_x(float(edges[0]))} {to_y(0.0)}{steps}V{to_y(0.0)}Z"
        drawn.append(Drawn(name, style, path, [], ""))
    middles = (edges[:-1] + edges[1:]) / 2
    names = [f"{a:.2f} to {b:.2f}" for a, b in pairwise(edges)]
    texts = [[compact(float(y)) for y in values] for values in shares.values()]
    x_ticks = [Tick(to_x(value), compact(value)) for value in nice_ticks(float(edges[0]), float(edges[-1]))]
    x_ticks = [tick for tick in x_ticks if LEFT - 1 <= tick.at <= WIDTH - RIGHT + 1]
    readout = {"x": [to_x(float(x)) for x in middles], "names": names, "texts": texts}
    ticks = [Tick(to_y(value), compact(value)) for value in y_ticks]
    return Chart(title, unit, note, x_name, x_ticks, ticks, drawn, True, readout)


def _x_ticks(xs: Sequence[float], to_x: Callable[[float], float]) -> list[Tick]:
    """At most about eight of the places, evenly spaced, the first and round numbers among them."""
    if len(xs) == 1:
        return [Tick(to_x(xs[0]), compact(xs[0]))]
    step = max(1, -(-nice_ticks(0, xs[-1] - xs[0], about=6)[1] // 1))  # epochs and ranks are whole
    first = -(-xs[0] // step) * step
    count = int((xs[-1] - first) / step) + 1
    return [Tick(to_x(first + index * step), compact(first + index * step)) for index in range(count)]
