"""How a command ends: a message, an exit code, and nothing left in its streams."""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from traceback import walk_tb

from ppreid.base.errors import DataError, Interrupted, PpreidError, printable_lines
from ppreid.run.log import close_standard_output

INTERRUPTED = 128 + signal.SIGINT


class Ending:
    """Turns how a command ends into a message and an exit code.

    Attributes:
        code: 0 until something else is known.
    """

    def __init__(self, *, debug: bool) -> None:
        """Nothing has ended yet.

        Args:
            debug: let every error go on upwards.
        """
        self.code = 0
        self._debug = debug

    def __enter__(self) -> "Ending":
        """Itself, for its code."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Say what went wrong; what is no error of ours goes on upwards, with its traceback."""
        if isinstance(error, SystemExit):  # of argparse, for --help and --version too
            if self.code or not (code := close_standard_output()):
                return False
            raise SystemExit(code) from None
        if error is None:
            self.code = close_standard_output()
        elif self._debug:
            return False
        else:
            self.code, text = _explained(error)
            if text is None:
                return False
            with suppress(KeyboardInterrupt):  # a second signal, while the first one is answered
                print(printable_lines(text), file=sys.stderr)
        return True


def _explained(error: BaseException) -> tuple[int, str | None]:
    """Exit code of an error and what to say; no text for what needs a traceback."""
    if isinstance(error, PpreidError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, Interrupted):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, OSError) and error.filename:  # it is read: what is written is explained where it is written
        return DataError.exit_code, f"error: cannot read {error.filename}: {error.strerror}"
    missing = _missing_packages(error)
    return PpreidError.exit_code, f"error: {missing}" if missing else None


def _missing_packages(error: BaseException) -> str:
    """What the doctor says about packages, where an import failed; otherwise nothing."""
    calls = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    if not isinstance(error, ImportError) and not any(file.startswith("<frozen importlib") for file in calls):
        return ""
    from ppreid.doctor.machine import missing_packages

    return missing_packages()


def explain_unknown(unknown: Sequence[str], args: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """What to write instead of an argument that a command does not take.

    Args:
        unknown: the arguments that it does not take.
        args: what the others mean.
        parser: of the command, whose name stands in the message.
    """
    word, _, value = unknown[0].partition("=")
    taken = getattr(args, "run", None)  # the value of an unknown option is taken for a run
    value = value or next((text for text in unknown[1:2] if not text.startswith("-")), taken or "VALUE")
    refused = f"{parser.prog} does not take {unknown[0]!r}"
    keys: list[str] = []
    if hasattr(args, "overrides"):
        alone = [key for key, _, text in (each.partition("=") for each in args.overrides) if not text]
        if alone and not word.startswith("-"):
            return f"{refused}; -o takes KEY=VALUE: -o {alone[0]}={word}"
        keys = _keys_named(word.lstrip("-").replace("-", "_"))
    if keys:
        return f"{refused}; it is a key of the configuration: {' or '.join(f'-o {key}={value}' for key in keys)}"
    nearest = get_close_matches(word, sorted(_options(parser)), n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{refused}; {hint}{parser.prog} --help lists all"


def _keys_named(name: str) -> list[str]:
    """Keys of the configuration with this name, or whose last part it is."""
    from ppreid.verbs.config_reference import config_keys

    return [key.name for key in config_keys() if name in (key.name, key.name.rpartition(".")[2])]


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Options of a parser and of its actions."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _options(each)
