"""SIGINT and SIGTERM: the first one asks a run to save and stop, the second one ends it at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ppreid.errors import Interrupted

Handler = Callable[[int, FrameType | None], Any] | int | None
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Remembers that a signal came; raises where the caller says that it may.

    Attributes:
        requested: number of the signal that came, 0 if none did.
        child_handler: what SIGCHLD did before that.
    """

    def __init__(self) -> None:
        """Signals are not looked at before `stop_signals` installs this."""
        self.requested = 0
        self.child_handler: Handler = None
        self._interruptible = False
        self._process = os.getpid()

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

    @contextmanager
    def excusing(self, error: type[Exception]) -> Iterator[None]:
        """Let this error end the block quietly if a signal came; it is what the signal did to a helper."""
        try:
            yield
        except error:
            if not self.requested:
                raise

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.requested:
            raise Interrupted(self.requested)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; the next one of either kind ends the process, as if nobody had handled it."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if os.getpid() != self._process:  # a forked worker; the run needs it to finish the step
            return
        self.requested = number
        # paddle raises when a loader's worker dies; those may have got the signal as well, and are not needed any more
        self.child_handler = signal.signal(signal.SIGCHLD, _do_nothing)
        # not a message of the log: the signal may have come while one was being written
        os.write(2, f"\n{signal.Signals(number).name}: saving and stopping; a second signal ends at once\n".encode())
        if self._interruptible:
            raise Interrupted(number)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Handle SIGINT and SIGTERM while the block runs, in the main thread; elsewhere Python cannot."""
    stop = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in {**before, signal.SIGCHLD: stop.child_handler}.items():
            if handler is not None:  # None: not changed, or not set from Python
                signal.signal(number, handler)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal by nothing; SIG_DFL would make Python complain about one that is pending."""
