"""What a run says to people: the console and log.txt."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ppreid.base.errors import PpreidWarning, WriteError, printable_lines
from ppreid.disk.files import append_line

logger = logging.getLogger("ppreid")

# warnings that paddle raises in every run and that nobody needs to act on
_PADDLE_CHATTER = ("No ccache found", "When training, we now always track global mean and variance")


def log_to_console() -> None:
    """Send the messages of ppreid, and all warnings, to standard output as plain lines."""
    warnings.showwarning = _log_warning
    warnings.simplefilter("always", PpreidWarning)
    for text in _PADDLE_CHATTER:
        warnings.filterwarnings("ignore", message=text, category=UserWarning)
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it lists the instruction sets that it tries
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Console) for handler in logger.handlers):
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be anything
        handler = _Console(sys.stdout)
        handler.setFormatter(_Printable("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


class _Printable(logging.Formatter):
    """Messages name files that strangers named; nothing in them reaches a terminal as a command."""

    def format(self, record: logging.LogRecord) -> str:
        """The message as text, with escape sequences shown instead of sent."""
        return printable_lines(super().format(record))


class _Console(logging.StreamHandler):
    """Standard output for as long as somebody reads it: with `... | head` a command does its work all the same."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())  # for what is still in its buffer, too
            os.close(nowhere)
        else:
            super().handleError(record)


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Append the messages of ppreid to a file as well, with the time of day, while the block runs."""
    handler = _LogFile(path)
    handler.setFormatter(_Printable("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


class _LogFile(logging.Handler):
    """Appends messages to a file; on a full disk the run matters more than its log."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._num_missing = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Append a message, or count it; the first one that cannot be written is said on standard error."""
        try:
            if self._num_missing:
                append_line(self._path, f"[{self._num_missing} messages could not be written here]", flush=False)
                self._num_missing = 0
            append_line(self._path, self.format(record), flush=False)
        except WriteError as error:
            if not self._num_missing:
                print(f"warning: {error}; the run goes on without it", file=sys.stderr)
            self._num_missing += 1


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one plain line, those of other libraries with their origin."""
    origin = "" if issubclass(category, PpreidWarning) else f"{filename}:{lineno}: {category.__name__}: "
    logger.warning("warning: %s%s", origin, message)
