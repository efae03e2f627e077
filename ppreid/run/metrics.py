"""The numbers of metrics.jsonl as curves for VisualDL, Paddle's viewer of training runs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ppreid.base.errors import ConfigError
from ppreid.disk.files import replacing

# VisualDL recognises its files by the first part of the name.
CURVES = "vdlrecords.ppreid.log"
_NO_CURVES = {"event", "epoch", "seconds"}


def require_visualdl() -> None:
    """Check that curves can be written, before the work whose curves they are.

    Raises:
        ConfigError: the package is missing.
    """
    try:
        import visualdl  # noqa: F401
    except ImportError as error:
        message = f"log.visualdl is true, but visualdl is missing ({error}): pip install visualdl, or set it to false"
        raise ConfigError(message) from error


def write_curves(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a VisualDL log that shows exactly these rows, completely or not at all.

    The file is made anew every time, so that it never disagrees with metrics.jsonl, whatever interrupted a run. What
    was there before stays as it was at the start of the file, as viewers that are open expect.

    Args:
        rows: of metrics.jsonl; those without an epoch have no curve.
        path: file to write, named CURVES.

    Raises:
        OSError: it cannot be written.
    """
    from visualdl import LogWriter  # an optional package

    with TemporaryDirectory(prefix="ppreid.") as folder:
        with LogWriter(logdir=folder, file_name=CURVES) as writer:
            for row in rows:
                milliseconds = round(1000 * row["seconds"])
                for tag, value in scalars(row):
                    writer.add_scalar(tag=tag, value=value, step=row["epoch"], walltime=milliseconds)
        content = (Path(folder) / CURVES).read_bytes()
    with replacing(path) as file:
        file.write(content)


def scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Curve and value of every number in a row of metrics.jsonl.

    Args:
        row: `loss` of an epoch belongs to the curve "epoch/loss", `extract` in `stage_seconds` to
            "stage_seconds/extract". A number that is None is a gap.
    """
    if "epoch" not in row:
        return
    for key in [key for key in row if key not in _NO_CURVES]:
        group = row[key] if isinstance(row[key], Mapping) else {key: row[key]}
        for name, value in group.items():
            if isinstance(value, int | float):
                yield f"{key if group is row[key] else row['event']}/{name}", float(value)
