"""Faults on purpose, for tests: PPREID_FAILPOINT=[rankR:]PLACE=NUMBER:WHAT, for example step=7:SIGTERM, or several
with commas. Nothing happens unless the variable is set; with `rankR:` only in that process of several.

WHAT is `raise` (an error that nobody expects), `exit` (without cleaning up), `kill` (SIGKILL), `stop` (SIGSTOP, the
process hangs) or the name of a signal; for a quantity it is nan or inf, which takes the place of its values.
"""

import os
import signal
from collections import Counter
from typing import Any

VARIABLE = "PPREID_FAILPOINT"
PLACES = {
    "step": "a training step is done; NUMBER is the step's, from 1 since the start of the run",
    "extract": "the features of this process are extracted, for the NUMBER-th time in this process, as for all below",
    "cluster": "pseudo labels are about to be made (rank 0)",
    "broadcast": "the pseudo labels are about to be given to the other processes",
    "save": "a checkpoint is about to be written (rank 0)",
    "load": "a checkpoint is about to be looked for",
}
QUANTITIES = ("features", "loss", "gradient")  # of a training step; NUMBER is the step's
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_visits: Counter[str] = Counter()


def failpoint(place: str, number: int | None = None) -> None:
    """Fail here if the environment says so.

    Args:
        place: where the program is, a key of PLACES.
        number: which time it is there; None counts.

    Raises:
        RuntimeError: the environment says `raise`.
    """
    _visits[place] += 1
    what = _wanted(place, number or _visits[place])
    if what == "raise":
        raise RuntimeError(f"{VARIABLE}: {place}")
    if what == "exit":
        os._exit(1)
    if what:
        os.kill(os.getpid(), SIGNALS.get(what) or signal.Signals[what])


def spoiled(place: str, number: int, values: Any) -> Any:  # noqa: ANN401 - tensors, which floor 0 does not know
    """The values, or NaN or infinities in their place if the environment says so.

    Args:
        place: which quantity it is, one of QUANTITIES.
        number: of the training step, from 1.
        values: anything that can be multiplied by a number.
    """
    what = _wanted(place, number)
    return values * float(what) if what else values


def _wanted(place: str, number: int) -> str:
    """What the environment wants here; empty if nothing."""
    rank = f"rank{os.environ.get('PADDLE_TRAINER_ID', '0')}:"
    for fault in os.environ.get(VARIABLE, "").split(","):
        where, _, what = fault.removeprefix(rank).partition(":")
        if where == f"{place}={number}":
            return what
    return ""
