"""Writing files so that a crash, a full disk or a second reader never meets half a file."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | Path, *, keep_as: Path | None = None) -> Iterator[BinaryIO]:
    """Write a file completely or not at all.

    The bytes go to a temporary sibling (the same file system, so that the rename is atomic), are flushed to the disk,
    and only then take the place of `path`. An error inside the block leaves an existing file as it was.

    Args:
        path: file to write; its folder must exist. The mode of an existing file is kept.
        keep_as: name in the same folder for the file that is replaced, once the new one is on the disk; None drops it.

    Yields:
        A binary file to write to.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), _mode_for(path))
            os.fsync(file.fileno())
        if keep_as is not None and path.exists():
            os.replace(path, keep_as)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file completely or not at all (see `replacing`); names of files that are no UTF-8 stay so."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files that killed processes left behind in a folder.

    Args:
        folder: where to look.
        names: of the files that were being written, with * for anything. Temporary files for others are not touched.

    Raises:
        OSError: a file cannot be removed.
    """
    for name in names:
        for file in folder.glob(f".{name}.*.tmp"):
            file.unlink()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _mode_for(path: Path) -> int:
    """Permission bits of an existing file, else those that the process's umask gives to a new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
