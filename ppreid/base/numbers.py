"""Numbers for people: how they are written, and where they stand in a drawing."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from unicodedata import combining, east_asian_width

SMALLEST = 1e-300  # fractions of smaller numbers are 0
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_CLOCK = 1e8, 253402300800.0  # seconds since 1970 that mean a day, from 1973 on, and the first that no calendar has


def fixed(value: float, digits: int) -> str:
    """A number with so many digits behind the point; what rounds to zero has no sign.

    Args:
        value: any, also nan.
        digits: behind the point, 0 or more.

    Example:
        >>> fixed(-0.004, 2), fixed(-0.006, 2)
        ('0.00', '-0.01')
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"  # -0.0 + 0.0 is 0.0; Python 3.10 has no format for that


def num_columns(text: str) -> int:
    """Columns that a line takes on a terminal: Chinese, Japanese and Korean signs take two, marks on letters none."""
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def padded(text: str, columns: int) -> str:
    """A text with blanks behind it, so that it takes so many columns on a terminal."""
    return text + " " * (columns - num_columns(text))


def in_words(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    for unit, name, limit in ((_MINUTE, "minutes", 2 * _HOUR), (_HOUR, "hours", 2 * _DAY)):
        if seconds < limit:
            return f"about {seconds / unit:.0f} {name}"
    return f"about {seconds / _DAY:.0f} days"


def clock(seconds: float) -> str:
    """Date and time (UTC) of seconds since 1970; empty where they can only be those since a recording began.

    Example:
        >>> clock(1714550400.0), clock(75.0)
        ('2024-05-01 08:00:00', '')
    """
    if not _CLOCK[0] <= seconds < _CLOCK[1]:
        return ""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def moment(seconds: float) -> str:
    """When something was seen: date and time, or "75.0 s" into the recording; empty for -1, unknown."""
    return clock(seconds) or (f"{fixed(seconds, 1)} s" if seconds >= 0 else "")


def nice_ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round numbers, evenly spaced, from at or below `low` to at or above `high`; at least two."""
    low, high = span(low, high)
    raw = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def compact(value: float | None) -> str:
    """A number in few characters: 3.5e-4, 0.47, 43.1, 1,463; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{int(value):,}"
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}" if size >= 100 else f"{value:.3g}"


def span(low: float, high: float) -> tuple[float, float]:
    """The interval, widened if it is a point, or as good as one in the digits that ticks have."""
    size = max(abs(low), abs(high))
    if high - low > max(size * 1e-8, SMALLEST):
        return low, high
    margin = size * 0.1 if size > SMALLEST else 1.0
    return min(low, high) - margin, max(low, high) + margin


def scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """Maps [low, high] to [start, stop], rounded to a tenth of a pixel."""
    return lambda value: round(start + (value - low) / (high - low) * (stop - start), 1)


def line_path(points: Sequence[tuple[float, float] | None]) -> str:
    """A line through the points that begins anew after every None."""
    path, pen_is_down = "", False
    for point in points:
        if point:
            path += f"{'L' if pen_is_down else 'M'}{point[0]} {point[1]}"
        pen_is_down = point is not None
    return path
