"""What is read and cannot be used: one sentence with the path and the right exit code, or all that is wrong with data.

A run stops at such an error. The doctor goes on with the rest of a data set, so that one look finds everything.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ppreid.base.errors import DataError, PpreidError

_SHOWN = 5  # problems of one kind that a message has
_MISSING = (errno.ENOENT, errno.ENOTDIR)
Found = TypeVar("Found")


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


def folder_is_there(path: str | Path, error: type[PpreidError]) -> bool:
    """Whether there is a folder at a path whose entries can be read; False only if there is nothing at all.

    Args:
        path: of the folder.
        error: class of what is raised, which decides the exit code.

    Raises:
        error: it may not be looked into, or is no folder.
    """
    _refuse_nul(path, error)
    with reading(path, error):
        try:
            with os.scandir(path):
                os.stat(os.path.join(path, "."))  # entries may be listed, and yet not be opened
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            if os.path.exists(path):
                raise error(f"cannot read {path}: it is no folder; give one") from None
            return False  # a part of the path is a file
    return True


def _refuse_nul(path: str | Path, error: type[PpreidError]) -> None:
    if "\0" in str(path):
        raise error(f"cannot read {str(path)!r}: no file has a NUL byte in its name")


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
    _refuse_nul(path, error)
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


class EntriesError(DataError):
    """Names, lines or parts of a data set cannot be used.

    Attributes:
        problems: a sentence for each.
        rest: what the reader would have given without them.
    """

    def __init__(self, problems: Sequence[str], rest: Any) -> None:  # noqa: ANN401 - whatever the reader gives
        """Keep the problems, one a line of the message, and the rest."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.rest = rest


def gathered(problems: list[str], read: Callable[[], Found], otherwise: Found) -> Found:
    """What a reader gives; where it raises, its problems are added to the list and what remains is given.

    Args:
        problems: all problems so far.
        read: reads one part of a data set.
        otherwise: what remains where nothing could be read.
    """
    try:
        return read()
    except EntriesError as error:
        problems += error.problems
        return error.rest
    except DataError as error:
        problems.append(str(error))
        return otherwise


def complete(problems: Sequence[str], found: Found) -> Found:
    """What was found, when nothing was wrong with it.

    Raises:
        EntriesError: there are problems.
    """
    if problems:
        raise EntriesError(problems, found)
    return found


def first_few(problems: Sequence[str], what: str) -> list[str]:
    """The first problems of a kind, and how many more of what there are."""
    more = [f"... and {len(problems) - _SHOWN:,} more {what}"] if len(problems) > _SHOWN else []
    return [*problems[:_SHOWN], *more]
