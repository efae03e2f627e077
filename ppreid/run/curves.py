"""The numbers of a run for programs that show curves: one function for each, none of which is needed to train."""

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

from ppreid.base.errors import PpreidWarning
from ppreid.disk.files import replacing
from ppreid.disk.places import temporary_folder
from ppreid.run.metrics import CURVES, EVENTS, WANDB

_NO_CURVES = {"event", "epoch", "seconds"}
Rows = Sequence[Mapping[str, Any]]  # of metrics.jsonl


class Viewer(NamedTuple):
    """A program that shows curves.

    Attributes:
        module: that writes its log.
        install: what pip is to install for that.
        write: (rows, folder of the run): makes a log of exactly these rows, in the place of an earlier one.
        at_end: it takes seconds, and so is done once, at the end of a run.
    """

    module: str
    install: str
    write: Callable[[Rows, Path], None]
    at_end: bool = False


def write_curves(names: Sequence[str], rows: Rows, folder: Path) -> None:
    """Write the logs that are due.

    They are made anew every time, so that they never disagree with metrics.jsonl, whatever interrupted a run.

    Args:
        names: of VIEWERS.
        rows: of metrics.jsonl, the last one just written; those without an epoch have no curve.
        folder: of the run.

    Raises:
        OSError: a log cannot be written.
    """
    for name in names:
        if not VIEWERS[name].at_end or rows[-1]["event"] == "summary":
            VIEWERS[name].write(rows, folder)


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


@contextmanager
def _file_for(path: Path) -> Iterator[str]:
    """A folder for the one file that a writer makes, under whatever name; then it is at the path, completely."""
    with temporary_folder(Path(gettempdir(), "ppreid")) as folder:
        yield str(folder)
        (file,) = folder.iterdir()
        content = file.read_bytes()
    with replacing(path) as stream:  # what was there stays at the start of the file, as viewers that are open expect
        stream.write(content)


def _visualdl(rows: Rows, folder: Path) -> None:
    from visualdl import LogWriter

    with _file_for(folder / CURVES) as place, LogWriter(logdir=place, file_name=CURVES) as writer:
        for row in rows:
            milliseconds = round(1000 * row["seconds"])
            for tag, value in scalars(row):
                writer.add_scalar(tag=tag, value=value, step=row["epoch"], walltime=milliseconds)


def _tensorboard(rows: Rows, folder: Path) -> None:
    from tensorboardX import SummaryWriter

    # the name of its own file would be that of the host
    with _file_for(folder / EVENTS) as place, SummaryWriter(logdir=place) as writer:
        for row in rows:
            for tag, value in scalars(row):
                writer.add_scalar(tag, value, row["epoch"], walltime=row["seconds"])


def _wandb(rows: Rows, folder: Path) -> None:
    import wandb

    try:
        shutil.rmtree(folder / WANDB, ignore_errors=True)
        # nothing of the machine, the code or its repository: logs are passed on
        private = {"disable_git": True, "save_code": False, "x_disable_stats": True, "x_disable_meta": True}
        settings = wandb.Settings(mode="offline", root_dir=str(folder), silent=True, console="off", **private)
        run = wandb.init(project="ppreid", name=folder.resolve().name, settings=settings)
        for row in rows:
            run.log(dict(scalars(row)), step=row.get("epoch"))
        run.finish()
    except Exception as error:  # noqa: BLE001 - the run is done; a log that can be made again must not end it in an error
        warnings.warn(f"no log for W&B: {error}; the numbers are in metrics.jsonl", PpreidWarning, stacklevel=4)


VIEWERS = {
    "visualdl": Viewer("visualdl", "visualdl>=2.5", _visualdl),
    "tensorboard": Viewer("tensorboardX", "tensorboardX>=2.6", _tensorboard),
    "wandb": Viewer("wandb", "wandb>=0.20", _wandb, at_end=True),
}
