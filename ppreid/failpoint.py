"""Faults on purpose, for tests: PPREID_FAILPOINT=PLACE=NUMBER:SIGNAL, for example step=7:SIGTERM.

The process sends itself the signal when it reaches the place with this number. Places: "step" (a training step is
done; counted from 1 since the start of the run). Nothing happens unless the variable is set.
"""

import os
import signal

VARIABLE = "PPREID_FAILPOINT"


def failpoint(place: str, number: int) -> None:
    """Fail here if the environment says so.

    Args:
        place: where the program is, see the text of this module.
        number: which time it is there.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted and wanted.startswith(f"{place}={number}:"):
        os.kill(os.getpid(), signal.Signals[wanted.partition(":")[2]])
