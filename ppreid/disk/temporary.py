"""Temporary files beside the file that they are to become, each locked for as long as somebody writes it.

The lock is the kernel's (`flock`): it ends with its process, however that ends. So a temporary file that can be locked
was left behind, whatever machine or container its writer ran in.
"""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

_NUMBERED = 4  # more processes than this hardly write one file at the same moment


def locked_temporary(path: Path) -> tuple[int, Path]:
    """Make the temporary file of a file, and remove those that killed processes left behind for the same one.

    Args:
        path: what is going to be written; its folder must exist.

    Returns:
        Descriptor, and path in the same folder. The file is locked until the descriptor is closed.

    Raises:
        OSError: the folder cannot be written to.
    """
    numbered = [path.with_name(f".{path.name}.{number}.tmp") for number in range(_NUMBERED)]
    for name in numbered:
        remove_abandoned(name)
    for name in numbered:
        with suppress(FileExistsError):  # somebody is writing it
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if _is_kept(descriptor):
                return descriptor, name
            os.close(descriptor)  # between our two calls another process took it for one that was left behind
    descriptor, random_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    _is_kept(descriptor)
    return descriptor, Path(random_name)


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


def _is_kept(descriptor: int) -> bool:
    """Lock a new file; False if somebody was faster and removes it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # without locks nobody can find it abandoned
        return True
    return os.fstat(descriptor).st_nlink > 0
