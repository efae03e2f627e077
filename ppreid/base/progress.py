"""Progress of a long loop: a bar on a terminal, now and then a line elsewhere; with rate, time left and memory."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

AUTO, AS_JSON, NOT_SHOWN = "auto", "json", "not"  # how progress is shown: bars and lines, objects for programs, or not
_SECONDS_BETWEEN_OBJECTS = 1.0
_shown = AUTO


def show_progress(how: str) -> None:
    """Choose how the loops of this process show their progress.

    Args:
        how: AUTO, AS_JSON or NOT_SHOWN.
    """
    global _shown
    _shown = how


def progress(
    items: Iterable[Item],
    *,
    total: int | None,
    description: str,
    unit: str = "batch",
    seconds_between_lines: float = 30.0,
) -> Iterator[Item]:
    """Pass items through and show how far the loop is.

    Args:
        items: what to loop over.
        total: expected number of items; None: nobody knows.
        description: what the loop does, e.g. "epoch 3 train".
        unit: what one item is.
        seconds_between_lines: pause between two lines when standard error is not a terminal (a log file, CI).

    Yields:
        The items, unchanged.
    """
    if _shown == NOT_SHOWN:
        yield from items
    elif _shown == AS_JSON:
        yield from _counted(items, _SECONDS_BETWEEN_OBJECTS, partial(_object, description, total, unit), at_end=True)
    elif sys.stderr.isatty():
        with tqdm(items, total=total, desc=description, unit=unit, leave=False, dynamic_ncols=True) as bar:
            for item in bar:
                yield item
                bar.set_postfix_str(_memory(), refresh=False)
    else:
        yield from _counted(items, seconds_between_lines, partial(_line, description, total, unit))


def _counted(
    items: Iterable[Item], pause: float, say: Callable[[int, float], None], *, at_end: bool = False
) -> Iterator[Item]:
    """The items; how many there were, and how many a second, is said after a pause of some seconds, or at the end."""
    start = last = time.monotonic()
    done = said = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= pause:
            last, said = now, done
            say(done, done / max(now - start, 1e-9))
    if at_end and done > said:
        say(done, done / max(time.monotonic() - start, 1e-9))


def _line(description: str, total: int | None, unit: str, done: int, rate: float) -> None:
    share, left = (f"{done}/{total}", f"{(total - done) / rate:.0f} s left, ") if total else (f"{done}", "")
    print(f"{description}: {share} {unit}, {rate:.2f} {unit}/s, {left}{_memory()}", file=sys.stderr, flush=True)


def _object(description: str, total: int | None, unit: str, done: int, rate: float) -> None:
    facts = {
        "event": "progress",
        "what": description,
        "done": done,
        "total": total,
        "unit": unit,
        "per_second": round(rate, 3),
        "seconds_left": round((total - done) / rate, 1) if total else None,
        "peak_memory": peak_memory(),
    }
    print(json.dumps(facts), file=sys.stderr, flush=True)


def peak_memory() -> int:
    """Most bytes that this process has had in memory so far, its mapped files included; 0 where nobody counts them."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _memory() -> str:
    peak = peak_memory()
    return f"peak {peak / 1e9:.1f} GB" if peak else "peak unknown"


class Stopwatch:
    """Collects the seconds that the stages of an epoch take."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        """Start at zero, or at what the stages took before an interruption."""
        self._done = dict(seconds or {})
        self._started: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, also of one under way: a checkpoint may be written in the middle of it."""
        now, seconds = time.perf_counter(), dict(self._done)
        for name, start in self._started.items():
            seconds[name] = seconds.get(name, 0.0) + now - start
        return seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the stage `name`."""
        self._started[name] = time.perf_counter()
        try:
            yield
        finally:
            self._done[name] = self._done.get(name, 0.0) + time.perf_counter() - self._started.pop(name)
