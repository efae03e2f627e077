"""Errors and warnings that ppreid raises on purpose, and the signals that stop it.

Every message says what was wrong, what was found and what to do, and names the file or the configuration key.
The class decides the exit code of a command (see `exit_code`), so that scripts can tell the cases apart.
"""

import re
import signal
from collections.abc import Iterable
from difflib import get_close_matches

# the signals that ask a run to save and stop
ENDING = (signal.SIGINT, signal.SIGTERM)  # a second one of these ends at once
# A terminal that closes (ssh), and what batch systems and the kernel send before or after a time limit. They come more
# than once without anybody being impatient: SIGXCPU every second, SIGHUP from the shell and from the kernel.
_BESIDE = ("SIGHUP", "SIGUSR1", "SIGXCPU")  # Windows has none of them
SIGNALS = (*ENDING, *(getattr(signal, name) for name in _BESIDE if hasattr(signal, name)))


class PpreidError(Exception):
    """Base of all errors that a user can act on; commands print the message without a traceback.

    Names of files, keys and tensors are in the messages, and strangers chose some of them: as text, an error holds
    nothing that a terminal would obey.
    """

    exit_code = 1

    def __str__(self) -> str:
        """The message, see `printable_lines`."""
        return printable_lines(super().__str__())


class ConfigError(PpreidError):
    """A configuration file, key, value or command-line argument is wrong."""

    exit_code = 2


class PluginError(ConfigError):
    """A plugin is not there, cannot be run, or puts wrong rows into the tables."""


class DataError(PpreidError):
    """A data set, an image or an array of features is missing, damaged or inconsistent."""

    exit_code = 3


class WeightsError(PpreidError):
    """A weights or checkpoint file is missing, damaged, refused, or does not fit the model."""

    exit_code = 4


class ClusteringError(PpreidError):
    """Pseudo labels could not be made, for example because no cluster was found."""

    exit_code = 5


class TrainingError(PpreidError):
    """Training cannot go on, for example because the loss is not finite."""

    exit_code = 6


class EvaluationError(PpreidError):
    """No metric can be computed, for example because no query has a valid match."""

    exit_code = 7


class WriteError(PpreidError, OSError):
    """A file cannot be written: its disk is full, broken or read-only, or its folder is missing.

    Args:
        number: of the system's error (errno), or None.
        message: the whole sentence for the user.
    """

    exit_code = 8

    def __str__(self) -> str:
        """The sentence alone, without the number."""
        return printable_lines(str(self.args[-1]))


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop; what it had done is saved."""

    def __init__(self, number: int, advice: str = "--resume goes on") -> None:
        """Keep the number of the signal; the exit code is 128 above it, as shells count."""
        super().__init__(f"stopped by {signal.Signals(number).name}; {advice}")
        self.number = number
        self.exit_code = 128 + number


class PpreidWarning(UserWarning):
    """Something was adapted or looks wrong, but the result is still well defined."""


def printable(text: str) -> str:
    r"""Text from a stranger (the name of a file, camera or tensor) on one line, with nothing that a terminal obeys.

    Letters of every script stay; control characters, line ends, marks that turn the direction of writing, and bytes
    that are no UTF-8 are shown as Python writes them, e.g. "\x1b".
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def printable_lines(text: str) -> str:
    """The same for a message of several lines, whose line ends and tabs are ours."""
    return re.sub(r"[^\n\t]+", lambda line: printable(line[0]), text)


def last_line(error: BaseException) -> str:
    """What other programs say at the end of many lines about an error; its class where they say nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def unknown_choice(what: str, value: object, choices: Iterable[str]) -> str:
    """Sentence for a value that is not among the choices, with the nearest match.

    Args:
        what: the key or argument, e.g. "labels.clusterer".
        value: the value that was found.
        choices: the values that are allowed.

    Returns:
        One sentence that names the value, all choices and, where there is one, the nearest match.
    """
    names = sorted(choices)
    nearest = get_close_matches(str(value), names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{what} is {value!r}; {hint}choose one of: {', '.join(names)}"
