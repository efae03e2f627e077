"""Features to an .npy file block by block, so that an interrupted extraction goes on where it stopped.

OUT.npy, its checksum OUT.npy.sha256 and OUT.csv appear when they are complete. Until then the rows are in
OUT.npy.partial, and OUT.npy.progress says how many of them are safely on the disk and what they were made from.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from ppreid.base.errors import ConfigError, DataError
from ppreid.base.records import ImageRecord
from ppreid.disk.features import write_records
from ppreid.disk.files import publish, write_text

Blocks = Iterator[tuple[np.ndarray, np.ndarray]]  # features (B, D), rows (B,)


def write_features(
    path: Path,
    records: Sequence[ImageRecord],
    *,
    dim: int,
    origin: Mapping[str, str],
    blocks_from: Callable[[int], Blocks],
) -> int:
    """Write features and the CSV of their images, or finish what an earlier call began.

    Args:
        path: the .npy file, (N, dim) float32; the CSV gets the same name.
        records: the images, (N,).
        dim: D.
        origin: what decides the numbers (weights, images, ...), by name; an earlier part must have the same.
        blocks_from: first row to the blocks from there on, in order.

    Returns:
        Rows that an earlier call had written.

    Raises:
        ConfigError: the file exists, or a part of it that was made from something else.
        DataError: the disk is too small, or the file cannot be written.
    """
    partial, progress = path.with_name(path.name + ".partial"), path.with_name(path.name + ".progress")
    if path.suffix != ".npy" or path.exists():
        problem = "exists already" if path.exists() else "is no name for an .npy file"
        raise ConfigError(f"{path} {problem}; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        start = _rows_done(partial, progress, origin)
        header = _header(len(records), dim)
        _require_space(path.parent, (len(records) - start) * dim * 4)
        with open(partial, "r+b" if start else "wb") as file:
            file.truncate(len(header) + start * dim * 4)  # a block of which only a part was written
            file.seek(0)
            file.write(header)
            file.seek(0, os.SEEK_END)
            done = start
            for block, rows in blocks_from(start) if start < len(records) else ():
                if rows[0] != done:
                    raise DataError(f"the loader gave row {rows[0]}, expected was row {done}; rows must come in order")
                file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
                file.flush()
                os.fsync(file.fileno())
                done += len(rows)
                write_text(progress, json.dumps({"rows": done, **origin}) + "\n")
        write_records(path.with_suffix(".csv"), records)
        publish(partial, path)
        progress.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}; the same command goes on where it stopped") from None
    return start


def _rows_done(partial: Path, progress: Path, origin: Mapping[str, str]) -> int:
    """Rows of an earlier call that are on the disk."""
    if not (partial.exists() and progress.exists()):
        return 0
    try:
        found = dict(json.loads(progress.read_text(encoding="utf-8")))
        rows = int(found.pop("rows"))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{progress} is damaged ({error}); delete it and {partial} to start anew") from None
    differing = [name for name in {**found, **origin} if found.get(name) != origin.get(name)]
    if differing:
        raise ConfigError(
            f"{partial} was begun with other {', '.join(differing)}; delete it and {progress} to start anew, "
            "or choose another name"
        )
    return rows


def _header(num_rows: int, dim: int) -> bytes:
    """First bytes of an .npy file with an array (num_rows, dim) float32."""
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (num_rows, dim)})
    return buffer.getvalue()


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder} has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed")
