"""The folder of a run: what ppreid writes there, how an earlier run is kept safe, what is done when a disk fails."""

import errno
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import paddle

import ppreid
from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import remove_leftovers, replacing, sync_folder, write_text
from ppreid.disk.text import read_json
from ppreid.run.metrics import CURVE_FILES

CONFIG, METRICS, LOG, LABELS, TWIN = "config.yaml", "metrics.jsonl", "log.txt", "labels.csv", "network_twin.safetensors"
LAST, BEST, BAD_IMAGES = "checkpoint_last.safetensors", "checkpoint_best.safetensors", "bad_images.txt"
RESULTS, CAMERAS, ENVIRONMENT, REPORT = "results.json", "cameras.csv", "environment.json", "report.html"
PREVIOUS, _EPOCH = "checkpoint_previous.safetensors", "checkpoint_epoch_{}.safetensors"
NONFINITE, WITHOUT_LABELS, THRESHOLD = "nonfinite_step_{}.json", "without_labels.json", "threshold.json"
MAPS = "maps_{}"  # of images, and what belongs to them
REPLACED = "replaced_run"  # an earlier run, until the one that replaces it has a checkpoint
_OTHERS = (BAD_IMAGES, RESULTS, CAMERAS, *CURVE_FILES, ENVIRONMENT, REPORT, WITHOUT_LABELS, THRESHOLD)
OWN_FILES = (CONFIG, METRICS, LOG, LABELS, LAST, PREVIOUS, BEST, TWIN, *_OTHERS)
_PATTERNS = (*OWN_FILES, _EPOCH.format("*"), NONFINITE.format("*"), "results_*.json", MAPS.format("*"))
# what would be lost; a start that failed, for example for want of data, leaves only the others
_WORTH_KEEPING = (METRICS, LABELS, LAST, PREVIOUS, BEST)
_DISK_ERRORS = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "EACCES", "EPERM", "ESTALE")
}


def open_run_folder(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Check that a run may write into a folder, and clear what it must not find there.

    Args:
        folder: exists, and no other run is in it (see `run_lock`).
        overwrite: move the files of an earlier run (those that ppreid writes, nothing else) into the folder REPLACED
            instead of refusing; `settle_replaced` removes them or brings them back.
        resume: an earlier run may be there; only the temporary files of killed processes are removed.

    Raises:
        ConfigError: the folder holds an earlier run and neither flag is set.
        OSError: something cannot be moved or removed.
    """
    settle_replaced(folder)  # of a start that was killed
    remove_leftovers(folder, _PATTERNS)
    files = {file.name: file for file in own_files(folder)}
    if files.keys() & set(_WORTH_KEEPING) and not (overwrite or resume):
        raise ConfigError(
            f"output_dir {folder} holds an earlier run ({', '.join(files)}); "
            "choose another one (-o output_dir=...), continue it (--resume) or replace it (--overwrite)"
        )
    if overwrite:
        # LAST decides whether a replaced run is brought back, so it goes first and comes back last
        _move(sorted(files.values(), key=lambda file: file.name != LAST), folder / REPLACED)


def settle_replaced(folder: Path) -> None:
    """Remove the run that another one replaces if that has a checkpoint; otherwise bring it back.

    So a start with --overwrite that fails for whatever reason (a typo in data.root, missing weights, a kill) costs
    nothing.

    Raises:
        OSError: it cannot.
    """
    replaced = folder / REPLACED
    if not replaced.is_dir():
        return
    if not (folder / LAST).exists():
        _move(sorted(replaced.iterdir(), key=lambda file: file.name == LAST), folder)
    shutil.rmtree(replaced)


def _move(files: Sequence[Path], folder: Path) -> None:
    """Move files into another folder of the same file system, in this order."""
    folder.mkdir(exist_ok=True)
    for file in files:
        os.replace(file, folder / file.name)
    sync_folder(folder)


def own_files(folder: Path) -> list[Path]:
    """The files of a run that are in its folder."""
    return [file for pattern in _PATTERNS for file in sorted(folder.glob(pattern))]


def epoch_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that were kept of certain epochs, oldest epoch first."""
    return sorted(folder.glob(_EPOCH.format("*")))


def epoch_checkpoint(folder: Path, epoch: int) -> Path:
    """Name of the checkpoint to keep of an epoch."""
    return folder / _EPOCH.format(f"{epoch:06d}")


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn what a disk that is full, broken or not writable raises into an error that says what to do.

    Raises:
        WriteError: the block could not write.
    """
    try:
        yield
    except WriteError as error:
        raise WriteError(error.errno, f"{error}; then --resume") from error
    except OSError as error:
        name = str(error.filename or "")
        if error.errno not in _DISK_ERRORS or (os.path.isabs(name) and folder.absolute() not in Path(name).parents):
            raise
        text = f"cannot write into output_dir {folder}: {error}; make it writable or make room, then --resume"
        raise WriteError(error.errno, text) from error


def write_labels(path: Path, image_paths: Sequence[str], labels: np.ndarray) -> None:
    """Write pseudo labels as CSV: path, cluster (-1 for outliers)."""
    write_csv(path, ("path", "cluster"), zip(image_paths, labels.tolist(), strict=True))


_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "Pillow")


def write_environment(path: Path, *, resumed: bool) -> None:
    """Write the versions, the device and the time of day as JSON.

    Args:
        path: file to write.
        resumed: the run goes on; when it was started is taken over from the file that is there.
    """
    facts = _environment()
    if resumed:
        facts |= {"started": _started(path) or facts["started"], "resumed": facts["started"]}
    write_text(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _started(path: Path) -> str:
    """When a run was started, as its file says; "" where that is missing or damaged."""
    with suppress(DataError):
        return str(read_json(path).get("started", ""))[:40]
    return ""


def _environment() -> dict[str, Any]:
    """No names of the host or of the user are among it: reports are passed on."""
    device = str(paddle.get_device())
    is_gpu = device.startswith("gpu")
    facts = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ppreid": ppreid.__version__,
        "python": platform.python_version(),
        "paddle": paddle.__version__,
        "device": device,
        "device name": paddle.device.cuda.get_device_name() if is_gpu else platform.machine(),
        "processor cores": os.cpu_count(),
        "system": platform.platform(),
    }
    return facts | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


@contextmanager
def rescuing(folder: Path, fallback: Path | None, save: Callable[[Path], None]) -> Iterator[None]:
    """Save into a folder below `fallback` if the block cannot write into the folder of the run, and stop the run.

    Args:
        folder: of the run.
        fallback: made if it is not there; None saves nowhere.
        save: writes a checkpoint of what training has reached to a path.

    Raises:
        WriteError: the block could not write; the message says where the checkpoint is now.
    """
    try:
        yield
    except OSError as error:
        if fallback is None:
            raise
        place = fallback / f"{folder.resolve().name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        try:
            place.mkdir(parents=True)
            save(place / LAST)
        except OSError as second:
            raise WriteError(error.errno, f"{error}. checkpoint.fallback_dir does not help: {second}") from error
        missing = [name for name in (METRICS, BEST) if not _copied(folder / name, place / name)]
        without = f" (without {', '.join(missing)}, which cannot be read or copied)" if missing else ""
        raise WriteError(
            error.errno,
            f"{error}. What training had reached is in {place}{without}. Go on from there with --resume {place} -o "
            f"output_dir=ANOTHER; or, once {folder} can be written again, copy {LAST} into it, then --resume",
        ) from error


def _copied(source: Path, target: Path) -> bool:
    """Copy a file, if there is one; False if that is impossible."""
    try:
        if source.exists():
            with open(source, "rb") as old, replacing(target) as new:
                shutil.copyfileobj(old, new)
    except OSError:
        return False
    return True
