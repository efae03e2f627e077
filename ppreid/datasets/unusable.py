"""Errors of a data set that hold all that is wrong with it, and what could be used nevertheless.

A run stops at such an error. The doctor goes on with the rest, so that one look finds everything.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ppreid.base.errors import DataError

_SHOWN = 5  # problems of one kind that a message has
Found = TypeVar("Found")


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
