"""Temporary files and folders beside what they are to become, each locked for as long as somebody writes it.

The lock is the kernel's (`flock`): it ends with its process, however that ends. So one that can be locked was left
behind, whatever machine or container its writer ran in.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NUMBERED = 4  # more processes than this hardly write one file at the same moment
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE = 0o700


def locked_temporary(path: Path) -> tuple[int, Path]:
    """Make the temporary file of a file, and remove those that killed processes left behind for the same one.

    Args:
        path: what is going to be written; its folder must exist.

    Returns:
        Descriptor, and path in the same folder. The file is locked until the descriptor is closed.

    Raises:
        OSError: the folder cannot be written to.
    """
    for name in _numbered(path):
        remove_abandoned(name)
    for name in _numbered(path):
        with suppress(FileExistsError):  # somebody is writing it
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if _is_kept(descriptor):
                return descriptor, name
            os.close(descriptor)  # between our two calls another process took it for one that was left behind
    descriptor, random_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    _is_kept(descriptor)
    return descriptor, Path(random_name)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Make a folder that is gone when the block ends, and remove those that killed processes left for the same purpose.

    Args:
        path: name of what is made in it, in a folder that exists; nothing needs to be there.

    Yields:
        The folder, beside `path`, for nobody else to read.

    Raises:
        OSError: it cannot be made.
    """
    for name in _numbered(path):
        _remove_abandoned_folder(name)
    descriptor, folder = _locked_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(file: Path) -> None:
    """Remove a temporary file whose writer is gone.

    It stays where that cannot be known (the file system has no locks), and where it cannot be removed.
    """
    with suppress(OSError):
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
        finally:
            os.close(descriptor)


def _remove_abandoned_folder(folder: Path) -> None:
    """The same for a folder, if it has the owner and the mode of one that `temporary_folder` makes."""
    with suppress(OSError):
        descriptor = os.open(folder, _FOLDER)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), _PRIVATE):
                shutil.rmtree(folder)
        finally:
            os.close(descriptor)


def _numbered(path: Path) -> list[Path]:
    """Names of temporary files that are looked for, in the order in which they are taken."""
    return [path.with_name(f".{path.name}.{number}.tmp") for number in range(_NUMBERED)]


def _locked_folder(path: Path) -> tuple[int, Path]:
    """A new folder and the descriptor that locks it."""
    for name in _numbered(path):
        with suppress(FileExistsError, FileNotFoundError):  # somebody works in it, or took ours for one left behind
            name.mkdir(mode=_PRIVATE)
            descriptor = os.open(name, _FOLDER)
            if _is_kept(descriptor):
                return descriptor, name
            os.close(descriptor)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    return os.open(folder, _FOLDER), folder


def _is_kept(descriptor: int) -> bool:
    """Lock a new file; False if somebody was faster and removes it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # without locks nobody can find it abandoned
        return True
    return os.fstat(descriptor).st_nlink > 0
