"""What a command says to people: results on standard output, everything else on standard error and in log.txt."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ppreid.base.errors import PpreidWarning, WriteError, printable_lines
from ppreid.disk.files import append_line, write_text
from ppreid.disk.places import STANDARD_OUTPUT, is_standard_output

logger = logging.getLogger("ppreid")

_IS_RESULT = "is_result"  # attribute of a record

# warnings that paddle raises in every run and that nobody needs to act on
_PADDLE_CHATTER = ("No ccache found", "When training, we now always track global mean and variance")


def log_result(text: str) -> None:
    """Log what a command was asked for, such as a table: the console shows it on standard output."""
    logger.info("%s", text, extra={_IS_RESULT: True})


def log_to_console(*, quiet: bool = False) -> None:
    """Send results to standard output, and all other messages of ppreid and all warnings to standard error.

    Args:
        quiet: of the messages only warnings and errors.
    """
    warnings.showwarning = _log_warning
    warnings.simplefilter("always", PpreidWarning)
    for text in _PADDLE_CHATTER:
        warnings.filterwarnings("ignore", message=text, category=UserWarning)
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it lists the instruction sets that it tries
    logger.setLevel(logging.INFO)
    for kind in (_Results, _Console):
        if not any(isinstance(handler, kind) for handler in logger.handlers):
            handler = kind()
            handler.setFormatter(_Printable("%(message)s"))
            logger.addHandler(handler)
    for console in (handler for handler in logger.handlers if isinstance(handler, _Console)):
        console.quiet = quiet
    logger.propagate = False


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Leave the root logger to the program: paddle, once it is imported, gives it a level and a handler, and warns."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    for text in _PADDLE_CHATTER:
        warnings.filterwarnings("ignore", message=text, category=UserWarning)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def import_paddle_quietly() -> None:
    """Import paddle, see `root_logger_kept`."""
    with root_logger_kept():
        import paddle  # noqa: F401


def leave_standard_output_to(*outputs: Path | None) -> None:
    """Show results on standard error where one of the outputs, such as their JSON, goes to standard output."""
    if any(path and is_standard_output(path) for path in outputs):
        for handler in [handler for handler in logger.handlers if isinstance(handler, _Results)]:
            logger.removeHandler(handler)


def open_standard_streams() -> None:
    """Make up for standard streams that are closed, as in some services, or full: nothing but a result needs them.

    The number of a closed stream would go to the next file that is opened, which would then receive what libraries
    write to standard error.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    if sys.stderr is None or (sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper)):
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        stream = io.BufferedWriter(_NeverFails())
        sys.stderr = io.TextIOWrapper(stream, encoding=encoding, errors="backslashreplace", line_buffering=True)


def close_standard_output() -> int:
    """Let go of what is in the buffer of standard output, as after --help.

    Returns:
        Exit code: 0, also where nobody reads it any more; that of a WriteError where it is full.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # or the interpreter would fail once more at its end
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            print(f"error: standard output cannot be written: {error.strerror}", file=sys.stderr)
            return WriteError.exit_code
    return 0


class _NeverFails(io.RawIOBase):
    """Standard error; what it does not take is lost, since there is no better place to say so."""

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return os.isatty(2)

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:  # noqa: ANN401 - anything with bytes in it
        with suppress(OSError):
            return os.write(2, content)
        return len(content)


class _Printable(logging.Formatter):
    """Messages name files that strangers named; nothing in them reaches a terminal as a command."""

    def format(self, record: logging.LogRecord) -> str:
        """The message as text, with escape sequences shown instead of sent."""
        return printable_lines(super().format(record))


class _Results(logging.Handler):
    """Results on standard output, for as long as somebody reads it; without one they are left to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a result; that it cannot be written ends the command."""
        if hasattr(record, _IS_RESULT) and sys.stdout is not None:
            write_text(STANDARD_OUTPUT, self.format(record) + "\n")


class _Console(logging.Handler):
    """Standard error, for all messages that no other handler shows.

    Attributes:
        quiet: of those that are no results, only warnings and errors.
    """

    quiet = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, unless it is a result that is shown."""
        is_result = hasattr(record, _IS_RESULT)
        if is_result and sys.stdout is not None and any(isinstance(handler, _Results) for handler in logger.handlers):
            return
        if is_result or record.levelno >= logging.WARNING or not self.quiet:
            print(self.format(record), file=sys.stderr)


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
