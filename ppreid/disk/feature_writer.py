"""Features to an .npy file block by block, so that an interrupted extraction goes on where it stopped.

OUT.npy, its checksum OUT.npy.sha256 and OUT.csv appear when they are complete. Until then the rows are in
OUT.npy.partial, and OUT.npy.progress says how many of them are safely on the disk, their SHA-256, and what they were
made from.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ppreid.base.environment import flags, lock, ready_to_rename
from ppreid.base.errors import ConfigError, DataError, PpreidError, WriteError
from ppreid.base.records import ImageRecord
from ppreid.disk.checks import make_folder_for
from ppreid.disk.feature_notes import FeatureNotes, read_notes, write_notes
from ppreid.disk.features import npy_header, write_records
from ppreid.disk.files import explained, file_sha256, publish
from ppreid.disk.places import followed, is_stream, not_through_links

Blocks = Iterator[tuple[np.ndarray, np.ndarray]]  # features (B, D), rows (B,)
_HELD = (errno.EACCES, errno.EAGAIN)


def write_features(
    path: Path,
    records: Sequence[ImageRecord],
    *,
    dim: int,
    origin: Mapping[str, str],
    blocks_from: Callable[[int], Blocks],
    check: Callable[[np.ndarray], None] = lambda _features: None,
    overwrite: bool = False,
    keep_notes: bool = False,
) -> int:
    """Write features and the CSV of their images, or finish what an earlier call began.

    Args:
        path: the .npy file, (N, dim) float32; the CSV gets the same name. Its folder is made if it is not there.
        records: the images, (N,).
        dim: D.
        origin: what decides the numbers (weights, images, ...), by name; an earlier part must have the same.
        blocks_from: first row to the blocks from there on, in order.
        check: called with all features (N, dim), memory-mapped, before the file gets its name; if it raises an error,
            the features are removed.
        overwrite: replace a finished file, a CSV of that name that no call has written, or a part of something else.
        keep_notes: OUT.npy.progress stays beside the finished file; the same call then finds nothing to do.

    Returns:
        Rows that an earlier call had written.

    Raises:
        ConfigError: the file exists, or a part of it that was made from something else or is being written.
        DataError: the rows of an earlier call are not what they were, or the blocks are not in order.
        WriteError: the disk is too small, or the file cannot be written.
    """
    if path.suffix != ".npy" or is_stream(path):
        raise ConfigError(f"{path} is no name for an .npy file, which is written in parts; choose another name")
    path, partial, progress = _names(path)
    make_folder_for(progress)  # the longest name
    if _only_progress_is_left(path, partial, progress, origin):
        _drop(progress, unless=keep_notes)
        return len(records)
    before = _earlier_call(partial, progress, origin, num_rows=len(records), overwrite=overwrite)
    _refuse_replacing(path, overwrite=overwrite, wrote_csv=before is not None and before.rows == len(records))
    start = done = before.rows if before else 0
    _require_space(path.parent, (len(records) - start) * dim * 4)
    header = npy_header(len(records), dim)
    with _opened_alone(partial) as file:
        digest = hashlib.sha256(header)
        if before:
            _check_rows(file, partial, before, digest, len(header), before.rows * dim * 4)
        with _going_on(path):
            file.seek(0)
            file.write(header)
            file.seek(file.truncate(len(header) + start * dim * 4))  # without a block of which only a part was written
        for block, rows in blocks_from(start) if start < len(records) else ():
            if rows[0] != done:
                raise DataError(f"the loader gave row {rows[0]}, expected was row {done}; rows must come in order")
            content = np.ascontiguousarray(block, dtype="<f4").tobytes()
            digest.update(content)
            done += len(rows)
            with _going_on(path):
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                write_notes(progress, done, digest, origin)
        with _going_on(path):
            ready_to_rename(file)
            _check_whole(partial, progress, check)
            write_records(path.with_suffix(".csv"), records)
            publish(partial, path, sha256=digest.hexdigest())
            _drop(progress, unless=keep_notes)
    return start


def _names(path: Path) -> tuple[Path, Path, Path]:
    """The file that a path leads to, and what is there until it is finished: its rows, and the notes of them."""
    with explained(path):
        path = followed(path)
    return path, path.with_name(path.name + ".partial"), path.with_name(path.name + ".progress")


def _drop(progress: Path, *, unless: bool) -> None:
    if not unless:
        progress.unlink(missing_ok=True)


def _check_whole(partial: Path, progress: Path, check: Callable[[np.ndarray], None]) -> None:
    """Remove features that the check refuses: the same call would only publish them the next time."""
    try:
        check(np.load(partial, mmap_mode="r", allow_pickle=False))
    except PpreidError:
        progress.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
        raise


def _only_progress_is_left(path: Path, partial: Path, progress: Path, origin: Mapping[str, str]) -> bool:
    """Whether an earlier call was killed between its last rename and the removal of its notes."""
    if partial.exists() or not (path.is_file() and progress.is_file()):
        return False
    try:
        found = read_notes(progress)
    except DataError:
        return False
    return found.origin == origin and found.sha256 == file_sha256(path)


def _earlier_call(
    partial: Path, progress: Path, origin: Mapping[str, str], *, num_rows: int, overwrite: bool
) -> FeatureNotes | None:
    """How far an earlier call came; None if there was none, if it had not written a block, or if it is overwritten."""
    if not (partial.exists() and progress.exists()):
        return None
    try:
        found = read_notes(progress)
        differing = [name for name in {**found.origin, **origin} if found.origin.get(name) != origin.get(name)]
        if not differing and found.rows <= num_rows:
            return found
        what = ", ".join(differing)[:200] or f"images ({found.rows:,} rows of {num_rows:,})"
        text = f"{partial} was begun with other {what}; delete it and {progress} to start anew, or choose another name"
    except DataError as error:
        text = f"{error}; delete it and {partial} to start anew"
    if not overwrite:
        raise ConfigError(text)
    progress.unlink()
    return None


def _refuse_replacing(path: Path, *, overwrite: bool, wrote_csv: bool) -> None:
    """Refuse to replace a finished file, or a CSV that is not the one beside it."""
    records = path.with_suffix(".csv")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already; choose another name, or pass --overwrite to replace it")
    if records.exists() and not (overwrite or wrote_csv):
        raise ConfigError(
            f"{records} exists, and the paths of the images of {path.name} would take its place; choose another name, "
            "or pass --overwrite to replace it"
        )


@contextmanager
def _opened_alone(partial: Path) -> Iterator[BinaryIO]:
    """The unfinished file, made if it is not there, while no other process writes it."""
    with explained(partial):
        descriptor = not_through_links(str(partial), flags("O_RDWR", "O_CREAT", "O_CLOEXEC"))
    with os.fdopen(descriptor, "r+b") as file:
        try:
            lock(file.fileno(), of_process=True)  # workers that outlive a kill would have it too otherwise
        except OSError as error:
            if error.errno in _HELD:
                text = f"{partial} is being written by another process; wait for it, or choose another name"
                raise ConfigError(text) from None
        yield file


def _check_rows(
    file: BinaryIO, partial: Path, before: FeatureNotes, digest: "hashlib._Hash", header_bytes: int, row_bytes: int
) -> None:
    """Go on with the digest over the rows of an earlier call; a DataError if they are not what it wrote."""
    file.seek(header_bytes)
    while row_bytes and (content := file.read(min(row_bytes, 1 << 20))):
        digest.update(content)
        row_bytes -= len(content)
    if row_bytes or digest.hexdigest() != before.sha256:
        raise DataError(
            f"{partial} is damaged: the {before.rows:,} rows that an earlier call wrote are not what they were; "
            "delete it, and the .progress file beside it, to start anew"
        )


@contextmanager
def _going_on(path: Path) -> Iterator[None]:
    """What a disk says, and that nothing is lost."""
    try:
        with explained(path):
            yield
    except WriteError as error:
        raise WriteError(error.errno, f"{error}; the same command goes on where it stopped") from error


def _require_space(folder: Path, needed: int) -> None:
    if needed > (free := shutil.disk_usage(folder).free):
        sizes = f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
        raise WriteError(errno.ENOSPC, f"{folder}: {sizes}; make room, or choose another folder")
