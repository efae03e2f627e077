"""What is written into and never replaced: standard output, pipes, devices, descriptors such as /dev/fd/3."""

import errno
import io
import os
import re
import stat
import sys
from pathlib import Path

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


def not_through_links(path: str, flags: int) -> int:
    """Opener for `open`: a symbolic link is an error, since in a stranger's folder it may lead to anything."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


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
