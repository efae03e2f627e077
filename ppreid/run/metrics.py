"""metrics.jsonl, what a run leaves behind for programs; viewers of curves get the same numbers.

metrics.jsonl holds one JSON object per line. Every object has `event` and `seconds` (since the start of the process);
the further keys by event are listed in docs/metrics.md.
"""

import json
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import append_line, write_text

# VisualDL and TensorBoard recognise their files by a part of the name; W&B has a folder
CURVE_FILES = CURVES, EVENTS, WANDB = "vdlrecords.ppreid.log", "events.out.tfevents.ppreid", "wandb"
MAX_LINE = 1 << 20  # bytes of an event, which has about 1,000
MAX_EPOCH = 10**9


def require_viewers(names: Sequence[str]) -> None:
    """Check that curves can be written, before the work whose curves they are.

    Args:
        names: of VIEWERS.

    Raises:
        ConfigError: a package is missing.
    """
    for name in names:
        from ppreid.base.optional import optional_module
        from ppreid.run.curves import VIEWERS

        optional_module(VIEWERS[name].module, install=VIEWERS[name].install, what=f"log.{name}")


class MetricsFile:
    """Appends events to a metrics.jsonl; each line is complete and on the disk when `write` returns."""

    def __init__(self, path: Path, *, viewers: Sequence[str] = ()) -> None:
        """Name the file; it need not exist.

        Args:
            path: metrics.jsonl of a run.
            viewers: names of VIEWERS, whose logs beside it are kept in step.
        """
        self.path = path
        self._viewers = viewers
        self._start = time.monotonic()

    def write(self, event: str, **values: Any) -> None:  # noqa: ANN401 - any JSON value
        """Append one event.

        Args:
            event: what happened, e.g. "epoch".
            **values: JSON values; a number that is not finite becomes null, since JSON has no spelling for it.
        """
        row = {"event": event, "seconds": round(time.monotonic() - self._start, 3), **_plain(values)}
        append_line(self.path, _line(row))
        if self._viewers:
            from ppreid.run.curves import write_curves

            write_curves(self._viewers, read_metrics(self.path), self.path.parent)

    def rewind(self, epoch: int, source: Path | None = None, *, history: Sequence[Mapping[str, Any]] = ()) -> None:
        """Forget what came after `epoch` finished epochs: a resumed run writes it again.

        Args:
            epoch: last one to keep; -1 keeps nothing.
            source: metrics.jsonl of the run that is continued; None is this one. There need not be one.
            history: the evaluations so far, as the checkpoint holds them; those that the file lacks are written again.

        Warns:
            PpreidWarning: the file had lost lines.
        """
        source = source or self.path
        rows = read_metrics(source) if source.exists() else []
        rows = [row for row in rows if row.get("epoch", 0) <= epoch and row["event"] != "summary"]
        found = {(row["event"], row.get("epoch")) for row in rows}
        lost = [{"seconds": 0.0, **row} for row in history if ("evaluation", row["epoch"]) not in found]
        lost_epochs = [number for number in range(1, epoch + 1) if ("epoch", number) not in found]
        if not source.exists():
            rows = lost  # a checkpoint that was taken along alone
        elif lost or lost_epochs:
            text = f"{source} had lost lines: evaluations of {len(lost)} epochs are taken from the checkpoint"
            numbers = f"; the numbers of {len(lost_epochs)} epochs are gone (first: {lost_epochs[0]})" * bool(
                lost_epochs
            )
            warnings.warn(text + numbers, PpreidWarning, stacklevel=3)
            rows = sorted([*rows, *lost], key=lambda row: row.get("epoch", 0))
        write_text(self.path, "".join(f"{_line(row)}\n" for row in rows))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All events of a metrics.jsonl in order; a half-written last line (a killed run) is left out.

    Raises:
        DataError: another line is damaged.
    """
    rows = []
    if not is_there(path, DataError):
        raise DataError(f"{path} does not exist; give the folder of a run")
    with reading(path, DataError):
        lines = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            if len(line) > MAX_LINE:
                raise ValueError(f"it has {len(line):,} bytes, more than {MAX_LINE:,}")
            row = json.loads(line)
            if not (isinstance(row, dict) and isinstance(row.get("event"), str)):
                raise ValueError("it is no event")
            if type(row.get("epoch", 0)) is not int or not 0 <= row.get("epoch", 0) <= MAX_EPOCH:
                raise ValueError(f"its epoch is {row['epoch']!r:.40}")
        except RecursionError:
            raise DataError(f"{path}, line {number}, is damaged (it is nested too deeply); delete the line") from None
        except ValueError as error:
            raise DataError(f"{path}, line {number}, is damaged ({error}); delete the line, or the file") from None
        rows.append(row)
    return rows


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


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
