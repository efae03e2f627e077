"""Files that are read: what the system has against it becomes one sentence with the path and the right exit code."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ppreid.base.errors import PpreidError

_MISSING = (errno.ENOENT, errno.ENOTDIR)


@contextmanager
def reading(path: str | Path, error: type[PpreidError]) -> Iterator[None]:
    """Turn what the system says about a file that cannot be read into "cannot read PATH: reason".

    Args:
        path: for the sentence.
        error: class of what is raised, which decides the exit code.
    """
    try:
        yield
    except PpreidError:  # a WriteError is an OSError as well
        raise
    except OSError as problem:
        reason = os.strerror(problem.errno) if problem.errno else str(problem)
        raise error(f"cannot read {path}: {reason}") from problem


def is_there(path: str | Path, error: type[PpreidError]) -> bool:
    """Whether there is a file to read at a path; False only if there is nothing at all.

    `Path.is_file` raises what the system says, e.g. about a folder that may not be entered, and its False also means
    folders, and pipes that would be waited for until the end of time.

    Args:
        path: of the file.
        error: class of what is raised, which decides the exit code.

    Raises:
        error: it cannot be looked at, or is a folder, pipe or device.
    """
    if "\0" in str(path):
        raise error(f"cannot read {str(path)!r}: no file has a NUL byte in its name")
    with reading(path, error):
        try:
            mode = os.stat(path).st_mode
        except OSError as problem:
            if problem.errno in _MISSING:
                return False
            raise
    if stat.S_ISDIR(mode):
        raise error(f"cannot read {path}: it is a folder; give a file in it")
    if not stat.S_ISREG(mode):
        raise error(f"cannot read {path}: it is a pipe, socket or device; copy its content to a file")
    return True
