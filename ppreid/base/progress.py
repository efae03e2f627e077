"""Progress of a long loop: a bar on a terminal, now and then a line elsewhere; with rate, time left and memory."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


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
    if sys.stderr.isatty():
        with tqdm(items, total=total, desc=description, unit=unit, leave=False, dynamic_ncols=True) as bar:
            for item in bar:
                yield item
                bar.set_postfix_str(_memory(), refresh=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= seconds_between_lines:
            last, rate = now, done / max(now - start, 1e-9)
            share, left = (f"{done}/{total}", f"{(total - done) / rate:.0f} s left, ") if total else (f"{done}", "")
            print(
                f"{description}: {share} {unit}, {rate:.2f} {unit}/s, {left}{_memory()}",
                file=sys.stderr,
                flush=True,
            )


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
