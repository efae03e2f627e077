"""Faults on purpose, for tests: PPREID_FAILPOINT=PLACE=NUMBER:WHAT, for example step=7:SIGTERM, or several with commas.

| place | number | what |
|---|---|---|
| step | of a training step that is done, from 1 | name of a signal that the process sends to itself |
| features, loss, gradient | of a training step, from 1 | nan or inf: what becomes of that quantity in this step |

Nothing happens unless the variable is set.
"""

import os
import signal
from typing import Any

VARIABLE = "PPREID_FAILPOINT"


def failpoint(place: str, number: int) -> None:
    """Fail here if the environment says so.

    Args:
        place: where the program is, see the text of this module.
        number: which time it is there.
    """
    if what := _wanted(place, number):
        os.kill(os.getpid(), signal.Signals[what])


def spoiled(place: str, number: int, values: Any) -> Any:  # noqa: ANN401 - tensors, which floor 0 does not know
    """The values, or NaN or infinities in their place if the environment says so.

    Args:
        place: which quantity it is, see the text of this module.
        number: of the training step, from 1.
        values: anything that can be multiplied by a number.
    """
    what = _wanted(place, number)
    return values * float(what) if what else values


def _wanted(place: str, number: int) -> str:
    """What the environment wants here; empty if nothing."""
    for fault in os.environ.get(VARIABLE, "").split(","):
        where, _, what = fault.partition(":")
        if where == f"{place}={number}":
            return what
    return ""
