"""What a run leaves behind for people (log.txt, the console) and for programs (metrics.jsonl).

metrics.jsonl holds one JSON object per line. Every object has `event` and `seconds` (since the start of the process);
the further keys by event are listed in docs/metrics.md.
"""

import io
import json
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ppreid.base.errors import DataError, PpreidWarning, WriteError
from ppreid.disk.files import append_line, write_text
from ppreid.run.metrics import CURVES, write_curves

logger = logging.getLogger("ppreid")

# warnings that paddle raises in every run and that nobody needs to act on
_PADDLE_CHATTER = ("No ccache found", "When training, we now always track global mean and variance")


def log_to_console() -> None:
    """Send the messages of ppreid, and all warnings, to standard output as plain lines."""
    warnings.showwarning = _log_warning
    warnings.simplefilter("always", PpreidWarning)
    for text in _PADDLE_CHATTER:
        warnings.filterwarnings("ignore", message=text, category=UserWarning)
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it lists the instruction sets that it tries
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Console) for handler in logger.handlers):
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be anything
        handler = _Console(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


class _Console(logging.StreamHandler):
    """Standard output for as long as somebody reads it: with `... | head` a command does its work all the same."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())  # for what is still in its buffer, too
            os.close(nowhere)
        else:
            super().handleError(record)


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Append the messages of ppreid to a file as well, with the time of day, while the block runs."""
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


class MetricsFile:
    """Appends events to a metrics.jsonl; each line is complete and on the disk when `write` returns."""

    def __init__(self, path: Path, *, visualdl: bool = False) -> None:
        """Name the file; it need not exist.

        Args:
            path: metrics.jsonl of a run.
            visualdl: keep a log for VisualDL beside it in step.
        """
        self.path = path
        self._curves = path.with_name(CURVES) if visualdl else None
        self._start = time.monotonic()

    def write(self, event: str, **values: Any) -> None:  # noqa: ANN401 - any JSON value
        """Append one event.

        Args:
            event: what happened, e.g. "epoch".
            **values: JSON values; a number that is not finite becomes null, since JSON has no spelling for it.
        """
        row = {"event": event, "seconds": round(time.monotonic() - self._start, 3), **_plain(values)}
        append_line(self.path, _line(row))
        if self._curves:
            write_curves(read_metrics(self.path), self._curves)

    def rewind(self, epoch: int, source: Path | None = None) -> None:
        """Forget what came after `epoch` finished epochs: a resumed run writes it again.

        Args:
            epoch: last one to keep; -1 keeps nothing.
            source: metrics.jsonl of the run that is continued; None is this one. There need not be one.
        """
        source = source or self.path
        rows = read_metrics(source) if source.exists() else []
        rows = [row for row in rows if row.get("epoch", 0) <= epoch and row["event"] != "summary"]
        write_text(self.path, "".join(f"{_line(row)}\n" for row in rows))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All events of a metrics.jsonl in order; a half-written last line (a killed run) is left out.

    Raises:
        DataError: another line is damaged.
    """
    rows = []
    lines = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or "event" not in row or not isinstance(row.get("epoch", 0), int):
                raise ValueError("it is no event")
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}, is damaged ({error}); delete the line, or the file") from None
        rows.append(row)
    return rows


class _LogFile(logging.Handler):
    """Appends messages to a file; on a full disk the run matters more than its log."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._num_missing = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Append a message, or count it; the first one that cannot be written is said on standard error."""
        try:
            if self._num_missing:
                append_line(self._path, f"[{self._num_missing} messages could not be written here]", flush=False)
                self._num_missing = 0
            append_line(self._path, self.format(record), flush=False)
        except WriteError as error:
            if not self._num_missing:
                print(f"warning: {error}; the run goes on without it", file=sys.stderr)
            self._num_missing += 1


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


class Stopwatch:
    """Collects the seconds that the stages of an epoch take."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        """Start at zero, or at what the stages took before an interruption."""
        self.seconds = dict(seconds or {})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the stage `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one plain line, those of other libraries with their origin."""
    origin = "" if issubclass(category, PpreidWarning) else f"{filename}:{lineno}: {category.__name__}: "
    logger.warning("warning: %s%s", origin, message)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value with numpy scalars as Python numbers, rounded to 7 digits, and non-finite numbers as None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
