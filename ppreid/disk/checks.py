"""Whether something can be written where it shall be, found out before the work."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from ppreid.disk.files import explained
from ppreid.disk.places import followed, temporary_names


def check_place(path: Path) -> None:
    """Find out before the work whether a file can be written.

    Raises:
        WriteError: its folder is missing or not writable, it is a folder itself, or its name is too long.
    """
    with explained(path):
        target = followed(path)
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(target.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.path.isdir(target.parent):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        _mode(temporary_names(target)[0])  # what is written first, whose name is longer
        if not _may_write(target.parent):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_folder(path: Path) -> None:
    """Find out before the work whether a folder that is not there can be made; it is not made yet.

    Raises:
        WriteError: it cannot.
    """
    with explained(path):
        place = path
        while not (found := _mode(place)):
            place = place.parent
        if not stat.S_ISDIR(found) and place != path:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if place != path and not _may_write(place):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; of a symbolic link, the one that it leads to.

    Raises:
        WriteError: it cannot be made.
    """
    check_folder(path)
    with explained(path):
        os.makedirs(os.path.realpath(path), exist_ok=True)


def make_folder_for(path: Path) -> None:
    """Make the folder of a file, and those above it, before the work.

    Raises:
        WriteError: it cannot be made, or the file not be written into it.
    """
    check_folder(path)  # says it with the name of the file, as the user gave it
    make_folder(path.parent)
    check_place(path)


def holds(path: Path, content: bytes) -> bool:
    """Whether a path is a plain file with this content; anything else, such as a pipe, is not read."""
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _mode(path: Path) -> int:
    """What a path is, as in `os.stat`; 0 for nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
