"""Run one tool as its user would, and note what it called and loaded.

    python tests/house/probe.py NOTES TOOL ARGUMENTS

NOTES is a JSON file. Frames are [file, function], files relative to the root of the checkout; frames of other packages
are left out.
"""

import json
import runpy
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
FILES: dict[str, str] = {}  # where code says it is -> path in the checkout, "" outside


def in_checkout(frame: FrameType) -> str:
    """Path of a frame's file in the checkout; empty if it is none of ours."""
    name = frame.f_code.co_filename
    if name not in FILES:
        path = Path(name).resolve()
        FILES[name] = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) and path.suffix == ".py" else ""
        if "site-packages" in FILES[name]:
            FILES[name] = ""
    return FILES[name]


def stack(frame: FrameType | None) -> list[list[str]]:
    """Our frames from the tool to this one."""
    found = []
    while frame:
        if in_checkout(frame) and in_checkout(frame) != "tests/house/probe.py":
            found.append([in_checkout(frame), frame.f_code.co_name])
        frame = frame.f_back
    return found[::-1]


class Notes:
    """What the profiler saw.

    Attributes:
        to_loss: our frames from the tool to `label_preserving_loss`, when it is first called.
        to_model: the same to the network, when a step calls it.
        steps: calls of `training_step`.
        lookups: look-ups of the environment by our code from the start of the first step to the last.
    """

    def __init__(self) -> None:
        """See nothing yet."""
        self.to_loss: list[list[str]] = []
        self.to_model: list[list[str]] = []
        self.steps = 0
        self.lookups = 0
        self._since_last_step = 0

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """Called by the interpreter for every call and return."""
        if event != "call":
            return
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if name == "__getitem__" and self.steps and module_of(frame) == "os":
            self._since_last_step += asked_by_us(frame)
        elif name == "training_step":
            self.steps += 1
            self.lookups, self._since_last_step = self.lookups + self._since_last_step, 0
        elif name == "label_preserving_loss" and not self.to_loss:
            self.to_loss = stack(frame)
        elif name == "forward" and file.endswith("reid_net.py") and not self.to_model:
            frames = stack(frame)
            if any(function == "training_step" for _, function in frames):
                self.to_model = frames


def module_of(frame: FrameType) -> str:
    """Name of the module whose code a frame runs."""
    return frame.f_globals.get("__name__", "")


def asked_by_us(frame: FrameType) -> bool:
    """Whether the code that looks something up in the environment is ours."""
    asking = frame.f_back
    while asking and module_of(asking) in ("os", "_collections_abc", "collections.abc"):
        asking = asking.f_back
    return asking is not None and bool(in_checkout(asking))


def main(notes_file: str, tool: str, *arguments: str) -> None:
    """Run the tool, and write what was seen."""
    notes = Notes()
    sys.argv = [tool, *arguments]
    sys.path.insert(0, str(ROOT))
    sys.setprofile(notes.profile)
    try:
        runpy.run_path(tool, run_name="__main__")
    finally:
        sys.setprofile(None)
        ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "ppreid"}
        loaded = sorted(name for name, module in ours.items() if not hasattr(module, "__path__"))  # files, not folders
        seen = {"to_loss": notes.to_loss, "to_model": notes.to_model, "steps": notes.steps, "lookups": notes.lookups}
        Path(notes_file).write_text(json.dumps({**seen, "modules": loaded}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
