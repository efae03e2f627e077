"""When the folder of a run can no longer be written: what training has reached goes elsewhere."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ppreid.base.errors import TrainingError
from ppreid.disk.files import replacing
from ppreid.engine.run_folder import BEST, LAST, METRICS


@contextmanager
def rescuing(folder: Path, fallback: Path | None, save: Callable[[Path], None]) -> Iterator[None]:
    """Save into a folder below `fallback` if the block cannot write into the folder of the run, and stop the run.

    Args:
        folder: of the run.
        fallback: made if it is not there; None saves nowhere.
        save: writes a checkpoint of what training has reached to a path.

    Raises:
        TrainingError: the block could not write; the message says where the checkpoint is now.
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
            raise TrainingError(f"{error}. checkpoint.fallback_dir does not help: {second}") from error
        missing = [name for name in (METRICS, BEST) if not _copied(folder / name, place / name)]
        without = f" (without {', '.join(missing)}, which cannot be read or copied)" if missing else ""
        raise TrainingError(
            f"{error}. What training had reached is in {place}{without}. Go on from there with --resume {place} -o "
            f"output_dir=ANOTHER; or, once {folder} can be written again, copy {LAST} into it, then --resume"
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
