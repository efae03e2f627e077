"""The numbers of the house, in one place: CONTRIBUTING.md states them, tests enforce them, measure.py shows them.

The floors are read from the table in CONTRIBUTING.md itself.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ppreid"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

FILE_LINES = 220  # of a file, all of them
FUNCTION_LINES = 50  # of code: without its docstring, comments and blank lines
LOOSE_TESTS = 8  # files beside the folders of tests/


class Limit(NamedTuple):
    """One row of the table of limits.

    Attributes:
        what: is counted, as CONTRIBUTING.md says it.
        first: the number of the first version.
        limit: the number that holds.
        unit: what stands behind a number, such as " %".
        at_least: whether more is better.
    """

    what: str
    first: float
    limit: float
    unit: str = ""
    at_least: bool = False

    def is_kept_by(self, number: float) -> bool:
        """Whether a measured number is within the limit."""
        return number >= self.limit if self.at_least else number <= self.limit

    def row(self) -> list[str]:
        """The cells of this row: what, first version, limit."""
        return [self.what, self.text(self.first), ("at least " if self.at_least else "") + self.text(self.limit)]

    def text(self, number: float) -> str:
        """A number as the table shows it."""
        return f"{number:,.1f}{self.unit}".replace(".0", "")


LIMITS = {
    "frames": Limit("frames from `tools/train.py` to `label_preserving_loss`, both included", 12, 8),
    "files_of_frames": Limit("files that these frames are in", 9, 6),
    "calls_to_model": Limit("calls from the step to `model(images)`, one process, no accumulation", 5, 1),
    "biggest_room": Limit("lines of the package that are in its biggest room", 21.6, 12, " %"),
    "loose_files": Limit("loose files at the top of the package", 15, 4),
    "parameters": Limit("parameters of a function in the loop or the step, at most", 13, 8),
    "fields": Limit("public fields of what goes through the loop, its state apart, at most", 13, 8),
    "states": Limit("types that hold the state of a run", 4, 1),
    "keeping": Limit("words in the loop's file that keep a run alive, of those and the method's", 64, 15, " %"),
    "modules": Limit("modules of ppreid that one command loads, at most", 180, 100),
    "config_files": Limit("files for configuration", 15, 7),
    "hops": Limit("files between `tools/train.py` and the loop", 4, 2),
    "lookups": Limit("look-ups of the environment from one step to the next", 9.6, 0),
    "scaffolding": Limit("names in the package that only tests need", 31, 0),
    "files": Limit("files of the package", 199, 150),
    "lines": Limit("lines of the package", 20_259, 18_500),
    "comments_training": Limit("comments that say why, per 100 lines of code, in training/", 1.9, 6, at_least=True),
    "comments_ise": Limit("the same in ise/", 3.5, 6, at_least=True),
    "comments_neighbours": Limit("the same in neighbours/", 4.8, 6, at_least=True),
}


def floors() -> dict[str, int]:
    """Floor of every room and loose file of the package, by its name without slash and suffix."""
    found = {}
    for floor, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", _section("The house"), re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(\w+)(?:/|\.py)`", names), int(floor))
    return found


def stated_limits() -> list[list[str]]:
    """Cells of the table of limits in CONTRIBUTING.md."""
    lines = [line for line in _section("What it is held to").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[1:]]


def stated_lengths() -> tuple[int, ...]:
    """Lines of a file, lines of code of a function and loose files of tests/, as CONTRIBUTING.md says."""
    words = (
        r"Files of at most (\d+) lines, functions of at most (\d+) lines of code .*"
        r"`tests/` mirrors the rooms, with at most (\d+) loose files"
    )
    found = re.search(words, CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    return tuple(int(number) for number in found.groups()) if found else ()


def _section(heading: str) -> str:
    """Text of CONTRIBUTING.md below a heading, to the next one."""
    _, _, rest = CONTRIBUTING.read_text(encoding="utf-8").partition(f"## {heading}\n")
    return rest.partition("\n## ")[0]
