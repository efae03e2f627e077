"""Where bytes of a file go: into a stream that is there, or into a temporary file beside what it is to become.

Temporary files and folders are locked for as long as somebody writes them. The lock is the kernel's (`flock`): it ends
with its process, however that ends. So one that can be locked was left behind, whatever machine or container its writer
ran in.
"""

import errno
import io
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ppreid.base.environment import OPENS_FOLDERS, flags, lock

STANDARD_OUTPUT = "-"
_MOST_LINKS = 40  # as many as Linux follows


def is_stream(path: Path) -> bool:
    """Whether bytes for this path go into something that is there, instead of into a new file that takes its place.

    Args:
        path: "-" is standard output. A regular file that a descriptor of this process leads to (/dev/stdout of
            `command > file`) counts as a stream: others are writing to it as well.
    """
    if str(path) == STANDARD_OUTPUT or _own_descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # it is not there; whoever writes it finds out about everything else
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_standard_output(path: Path) -> bool:
    """Whether a path means standard output: "-", or a name such as /dev/stdout."""
    return str(path) == STANDARD_OUTPUT or _own_descriptor(path) == 1


def write_into(path: Path, content: bytes | memoryview) -> None:
    """Write bytes into a stream, all at once; a reader that has had enough, as in `... | head`, is no error.

    Raises:
        OSError: it cannot be opened or written.
    """
    for text in (sys.stdout, sys.stderr):
        if text is not None:
            text.flush()  # what was said before comes before
    number = _own_descriptor(path)
    if str(path) == STANDARD_OUTPUT:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "there is no standard output")
        try:
            number = sys.stdout.fileno()
        except io.UnsupportedOperation:  # a program that runs the command has put something else in its place
            sys.stdout.write(bytes(content).decode("utf-8", "surrogateescape"))
            return
    try:
        # a buffer of its own: one that cannot be emptied would make the interpreter fail once more at its end
        with os.fdopen(os.dup(number), "wb") if number is not None else open(path, "wb") as file:
            file.write(content)
    except BrokenPipeError:
        return


def followed(path: Path) -> Path:
    """Where a symbolic link leads, through further ones; the path itself where it is none.

    Raises:
        OSError: the links go round in a circle.
    """
    if not os.path.islink(path):
        return path
    target = Path(os.path.realpath(path))
    if os.path.islink(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def not_through_links(path: str, mode: int) -> int:
    """Opener for `open`: a symbolic link is an error, since in a stranger's folder it may lead to anything."""
    return os.open(path, mode | flags("O_NOFOLLOW"), 0o666)


def _own_descriptor(path: Path) -> int | None:
    """Number of the descriptor of this process that a path such as /dev/stdout or /proc/self/fd/3 means."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd", folder) and path.name.isdecimal():
            return int(path.name)
        if not os.path.islink(path):
            return None
        path = Path(folder, os.readlink(path))
    return None


_NUMBERED = 4  # more processes than this hardly write one file at the same moment
_FOLDER = flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
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
    for name in temporary_names(path):
        remove_abandoned(name)
    for name in temporary_names(path):
        with suppress(FileExistsError):  # somebody is writing it
            descriptor = os.open(name, flags("O_RDWR", "O_CREAT", "O_EXCL", "O_CLOEXEC"), 0o600)
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
    for name in temporary_names(path):
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
        descriptor = os.open(file, flags("O_RDWR", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))
        try:
            lock(descriptor)
            file.unlink()
        finally:
            os.close(descriptor)


def _remove_abandoned_folder(folder: Path) -> None:
    """The same for a folder, if it has the owner and the mode of one that `temporary_folder` makes."""
    with suppress(OSError):
        descriptor = os.open(folder, _FOLDER)
        try:
            lock(descriptor)
            found = os.fstat(descriptor)
            if (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), _PRIVATE):
                shutil.rmtree(folder)
        finally:
            os.close(descriptor)


def temporary_names(path: Path) -> list[Path]:
    """Names of the temporary files of a file or folder, in the order in which they are taken."""
    return [path.with_name(f".{path.name}.{number}.tmp") for number in range(_NUMBERED)]


def _locked_folder(path: Path) -> tuple[int, Path]:
    """A new folder and the descriptor that locks it."""
    for name in temporary_names(path) if OPENS_FOLDERS else ():
        with suppress(FileExistsError, FileNotFoundError):  # somebody works in it, or took ours for one left behind
            name.mkdir(mode=_PRIVATE)
            descriptor = os.open(name, _FOLDER)
            if _is_kept(descriptor):
                return descriptor, name
            os.close(descriptor)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    return os.open(folder if OPENS_FOLDERS else os.devnull, _FOLDER), folder


def _is_kept(descriptor: int) -> bool:
    """Lock a new file; False if somebody was faster and removes it."""
    try:
        lock(descriptor)
    except BlockingIOError:
        return False
    except OSError:  # without locks nobody can find it abandoned
        return True
    return os.fstat(descriptor).st_nlink > 0
