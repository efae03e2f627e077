"""Faults on purpose: PPREID_FAILPOINT=[rankR:]PLACE=NUMBER:WHAT, for example step=7:SIGTERM, or several with commas.

The product knows nothing of them: this module puts wrappers around the functions where something may go wrong, and
then runs the command line.

    PPREID_FAILPOINT=step=7:kill python tests/reliability/faults.py train -c tiny.yaml

With `rankR:` a fault happens only in that process of several. WHAT is `raise` (an error that nobody expects), `exit`
(without cleaning up), `kill` (SIGKILL), `stop` (SIGSTOP, the process hangs) or the name of a signal; for a quantity it
is nan or inf, which takes the place of its values.
"""

import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from importlib import import_module

VARIABLE = "PPREID_FAILPOINT"
# place: (module, name of the function that is wrapped)
PLACES = {
    "step": ("ppreid.training.loop", "training_step"),  # it is done; NUMBER is the step's, from 1 since the run's start
    "extract": ("ppreid.training.extract", "rows_to_first"),  # this process has its features; the NUMBER-th time
    "cluster": ("ppreid.training.loop", "assign_pseudo_labels"),  # about to begin, on rank 0
    "broadcast": ("ppreid.run.keeper", "arrays_from_first"),  # pseudo labels are made, and go to the others now
    "save": ("ppreid.run.checkpoint_set", "save_checkpoint"),  # about to begin, on rank 0
    "load": ("ppreid.run.opening", "find_checkpoint"),  # about to begin
}
QUANTITIES = ("features", "loss", "gradient")  # of a training step; NUMBER is the step's
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Faults:
    """What shall happen where in this process."""

    def __init__(self, text=None):
        """Read the variable, or a text of the same form."""
        self._text = text
        self._visits = Counter()

    def wanted(self, place, number):
        """What shall happen here; empty if nothing."""
        text = os.environ.get(VARIABLE, "") if self._text is None else self._text
        rank = f"rank{os.environ.get('PADDLE_TRAINER_ID', '0')}:"
        for fault in text.split(","):
            where, _, what = fault.removeprefix(rank).partition(":")
            if where == f"{place}={number}":
                return what
        return ""

    def happen(self, place, number=None):
        """Fail here if that is wanted."""
        self._visits[place] += 1
        what = self.wanted(place, number or self._visits[place])
        if what == "raise":
            raise RuntimeError(f"{VARIABLE}: {place}")
        if what == "exit":
            os._exit(1)
        if what:
            os.kill(os.getpid(), SIGNALS.get(what) or signal.Signals[what])

    def before(self, place):
        """Wraps a function: the place is its beginning."""

        def wrap(real):
            def wrapped(*args, **kwargs):
                self.happen(place)
                return real(*args, **kwargs)

            return wrapped

        return wrap

    def around_broadcast(self, real):
        """Labels are computed, by rank 0 alone, but nobody has them yet."""

        def arrays_from_first(compute, ranks):
            if not ranks.is_first:
                self.happen("broadcast")

            def computed():
                arrays = compute()
                self.happen("broadcast")
                return arrays

            return real(computed, ranks)

        return arrays_from_first

    def around_step(self, real):
        """A step with the numbers spoiled that shall be, and what happens after it."""

        def training_step(model, memory, images, batch, optimizer, objective, **settings):
            number = batch.step + 1
            spoil = {place: self.wanted(place, number) for place in QUANTITIES}
            hook = model.register_forward_post_hook(_spoiler(spoil)) if spoil["features"] or spoil["gradient"] else None

            def spoiled_objective(*arguments, **named):
                terms = objective(*arguments, **named)
                return terms._replace(total=terms.total * float(spoil["loss"])) if spoil["loss"] else terms

            try:
                losses = real(model, memory, images, batch, optimizer, spoiled_objective, **settings)
            finally:
                if hook:
                    hook.remove()
            self.happen("step", number)
            return losses

        return training_step

    def wrappers(self):
        """Place: what wraps its function."""
        special = {"step": self.around_step, "broadcast": self.around_broadcast}
        return {place: special.get(place) or self.before(place) for place in PLACES}


def _spoiler(spoil):
    """A hook that spoils what a network gives, or the gradient that comes back to it."""

    def hook(layer, inputs, features):
        if spoil["features"]:
            features = features * float(spoil["features"])
        if spoil["gradient"] and not features.stop_gradient:
            features = features * 1.0  # a tensor of its own, whose gradient passes this hook only
            features.register_hook(lambda gradient: gradient * float(spoil["gradient"]))
        return features

    return hook


@contextmanager
def faults(text=None):
    """Let faults happen while the block runs: those of the variable, or of a text of the same form."""
    wrappers, originals = Faults(text).wrappers(), {}
    for place, (module_name, name) in PLACES.items():
        module = import_module(module_name)
        originals[place] = (module, name, getattr(module, name))
        setattr(module, name, wrappers[place](getattr(module, name)))
    try:
        yield
    finally:
        for module, name, real in originals.values():
            setattr(module, name, real)


if __name__ == "__main__":
    from ppreid.cli import main

    with faults():
        sys.exit(main())
