"""What a folder of a run says about the run; nothing is written, and the run may still be going on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.errors import DataError
from ppreid.base.plain_yaml import MAX_LETTERS, parse_yaml
from ppreid.base.reading import is_there
from ppreid.disk.text import cell_number, read_csv, read_json, read_text
from ppreid.run.folder import CAMERAS, CONFIG, ENVIRONMENT, LABELS, METRICS
from ppreid.run.metrics import read_metrics

LARGEST = 1e15  # of a number: beyond it, sums and scales of charts overflow
FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"


class LabelsFile(NamedTuple):
    """The newest pseudo labels of a run.

    Attributes:
        names: (N) image files as the run saw them.
        labels: (N,) int64 cluster, -1 for outliers.
    """

    names: list[str]
    labels: np.ndarray


class RunFiles(NamedTuple):
    """A folder of a run, read.

    Attributes:
        name: to show; folder names are those of the user.
        config: the configuration as nested dicts.
        epochs: rows of metrics.jsonl with event "epoch".
        evaluations: those with event "evaluation".
        environment: versions and device; empty if the run did not write them.
        labels: of the newest epoch; None before the first.
        cameras: names of the cameras by number, from 0; empty where they have no names.
        state: "finished", "running" or "stopped".
        folder: as the command line named it; empty where the run has none.
    """

    name: str
    config: dict[str, Any]
    epochs: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    environment: dict[str, Any]
    labels: LabelsFile | None
    cameras: dict[int, str]
    state: str
    folder: str = ""


def read_run(folder: Path, *, is_running: bool) -> RunFiles:
    """Read what a run has written so far.

    Args:
        folder: output_dir of the run.
        is_running: a process is working in it.

    Raises:
        DataError: it is no folder of a run, or a file is damaged.
    """
    if not is_there(folder / CONFIG, DataError):
        raise DataError(f"{folder} is not the folder of a training run: it has no {CONFIG}; give the output_dir of one")
    rows = _metrics(folder / METRICS)
    finished = any(row["event"] == "summary" for row in rows)
    return RunFiles(
        folder.resolve().name,
        _mapping(folder / CONFIG),
        [row for row in rows if row["event"] == "epoch"],
        [row for row in rows if row["event"] == "evaluation"],
        _mapping(folder / ENVIRONMENT) if is_there(folder / ENVIRONMENT, DataError) else {},
        _labels(folder / LABELS) if is_there(folder / LABELS, DataError) else None,
        camera_names(folder / CAMERAS),
        RUNNING if is_running else FINISHED if finished else STOPPED,
        str(folder),
    )


def number(value: object) -> float | None:
    """A number that can be drawn as it is; None for everything else that may stand in a metrics file."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not -LARGEST < value < LARGEST:  # nan as well
        return None
    return value if abs(value) * LARGEST > 1 else 0  # another number divided by it would overflow


def series(rows: Iterable[dict[str, Any]], *keys: str) -> list[tuple[int, float | None]]:
    """One value per row over its epoch.

    Args:
        rows: of metrics.jsonl.
        *keys: of the value, from the outside in.

    Returns:
        (epoch, value) in the order of the rows, None where a row has no finite number there.
    """
    points = []
    for row in rows:
        value: object = row
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        points.append((int(row["epoch"]), number(value)))
    return points


def same_images(names: Sequence[str], paths: Sequence[str]) -> bool:
    """Whether two lists name the same images in the same order; the data set may have moved to another folder."""
    return len(names) == len(paths) and all(Path(a).name == Path(b).name for a, b in zip(names, paths, strict=True))


def _metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl; a run that has just started has none."""
    if not is_there(path, DataError):
        return []
    rows = read_metrics(path)
    for line, row in enumerate(rows, start=1):
        if row["event"] in ("epoch", "evaluation") and "epoch" not in row:
            raise DataError(f"{path}:{line}: the event has no epoch; delete the line")
    return rows


def _mapping(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        return read_json(path)
    try:
        found = parse_yaml(read_text(path, max_line=None, max_bytes=4 * MAX_LETTERS))[0]
    except ValueError as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: it holds {type(found).__name__}, not keys and values")
    return found


def _labels(path: Path) -> LabelsFile:
    rows = read_csv(path, ["path", "cluster"])
    clusters = [cell_number(row, "cluster", path) for row in rows]
    return LabelsFile([row.cells["path"] for row in rows], np.array(clusters, dtype=np.int64))


def camera_names(path: Path) -> dict[int, str]:
    """Names of the cameras by number, from the file that a run writes; none where there is no such file.

    Raises:
        DataError: it is damaged.
    """
    if not is_there(path, DataError):
        return {}
    return {cell_number(row, "camid", path): row.cells["name"].strip() for row in read_csv(path, ["camid", "name"])}


class ConfigRow(NamedTuple):
    """A key, its value, and the reference's value ("" where it does not have the key)."""

    key: str
    value: str
    reference: str


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys as dotted names, with their values as text."""
    rows: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows |= flat(value, f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = _text(value)
    return rows


def against(config: Mapping[str, Any], reference: Mapping[str, Any]) -> tuple[list[ConfigRow], list[ConfigRow]]:
    """Keys whose values differ from the reference's, and the others."""
    known = flat(reference)
    rows = [ConfigRow(key, value, known.get(key, "")) for key, value in flat(config).items()]
    return [row for row in rows if row.value != row.reference], [row for row in rows if row.value == row.reference]


def differences(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Keys on which configurations do not agree, with the value of each ("" where it does not have the key)."""
    tables = [flat(config) for config in configs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, [table.get(key, "") for table in tables]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
