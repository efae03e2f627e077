"""Signals that stop a run: the first one asks it to save and stop, the second one ends it at once."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ppreid.base.errors import ENDING, SIGNALS, Interrupted


class StopSignals:
    """Remembers that a signal came; raises where the caller says that it may.

    Attributes:
        requested: number of the signal that came, 0 if none did.
    """

    def __init__(self, *, repeats_end: bool = True) -> None:
        """Signals are not looked at before `stop_signals` installs this.

        Args:
            repeats_end: a second signal ends the process at once.
        """
        self.requested = 0
        self._repeats_end = repeats_end
        self._interruptible = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal end the block at once, for work that leaves nothing to save.

        Raises:
            Interrupted: a signal came, in the block or before it.
        """
        self._interruptible = True
        try:
            self.check()
            yield
        finally:
            self._interruptible = False

    def request(self, number: int) -> None:
        """Note a signal that came to another process of the run; 0 is none."""
        self.requested = self.requested or number

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.requested:
            raise Interrupted(self.requested)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; the next SIGINT or SIGTERM ends the process, as if nobody had handled it."""
        if self.requested:  # two within a moment, or one that repeats itself: saving and stopping is under way
            return
        self.requested = number
        text = f"\n{signal.Signals(number).name}: saving and stopping"
        if self._repeats_end:
            text += "; a second signal ends at once"
            for each in ENDING:
                _default_in_system(each)
        with suppress(OSError):  # the terminal may be what has gone
            os.write(2, f"{text}\n".encode())  # not a message of the log: one may be half written at this moment
        if self._interruptible:
            raise Interrupted(number)


@contextmanager
def stop_signals(*, repeats_end: bool = True) -> Iterator[StopSignals]:
    """Handle SIGNALS while the block runs, in the main thread; elsewhere Python cannot.

    SIGHUP stays ignored where it is ignored, as under nohup.

    Args:
        repeats_end: a second signal ends the process at once. Not for the processes of paddle's launcher, which sends
            every signal up to three times within a second and kills them itself after half a minute.
    """
    stop = StopSignals(repeats_end=repeats_end)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    hangup = getattr(signal, "SIGHUP", None)
    is_nohup = hangup is not None and signal.getsignal(hangup) == signal.SIG_IGN
    heard = [number for number in SIGNALS if not (is_nohup and number == hangup)]
    before = {number: signal.signal(number, stop.handle) for number in heard}
    for number in ENDING if repeats_end else ():
        _only_once(number)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not set from Python
                signal.signal(number, handler)


def _system_library() -> ctypes.CDLL | None:
    """What the system's own functions are in; None on Windows, where Python's handlers must do."""
    return None if os.name == "nt" else ctypes.CDLL(None)


def _default_in_system(number: int) -> None:
    """Let a signal end the process from now on, without telling Python.

    Python may have heard of the signal already, and would print a traceback if it found no handler for it any more.
    """
    libc = _system_library()
    if libc is None:
        return
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(number, int(signal.SIG_DFL))


def _only_once(number: int) -> None:
    """Let the system drop the handler of a signal when it comes, so that the next one ends the process.

    Python would do that only when it is back from a compiled library, which may search for neighbours for an hour.
    """
    libc = _system_library()
    # without glibc a second signal waits for the library as well
    if libc is None or not hasattr(libc, "sysv_signal"):
        return
    for function in (libc.signal, libc.sysv_signal):
        function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    python_handler = libc.signal(number, int(signal.SIG_DFL))
    libc.sysv_signal(number, python_handler)
