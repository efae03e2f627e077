"""docs/method.md says in which file each call stands, and there it stands."""

import ast
import re

import pytest
from pages import ROOT

TEXT = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
_, EPOCH, STEP = re.split(
    r"^## One (?:epoch|step)$", TEXT.partition("\n## Where ppreid differs")[0], flags=re.MULTILINE
)
ROWS = [line for line in EPOCH.splitlines() if line.startswith("| ")][1:]
STEPS = re.findall(r"^\d\. .*\n(?:   .*\n)*", STEP, re.MULTILINE)
CALL = re.compile(r"`([\w.]+\([^`]*\))`\s+in\s+`([\w/]+\.py)`")
FOUND = [call for part in ROWS + STEPS for call in CALL.findall(part)]


def calls(file):
    """Every call in a file of the package, in the order in which it stands there, with and without its arguments."""
    tree = ast.parse((ROOT / "ppreid" / file).read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        yield node.lineno, ast.unparse(node)
        # the arguments of partial are a call that is made later
        function = node.args[0] if ast.unparse(node.func) == "partial" else node.func
        yield node.lineno, f"{ast.unparse(function)}(...)"


@pytest.mark.parametrize("part", ROWS + STEPS, ids=lambda part: " ".join(re.findall(r"\w+", part)[:2]))
def test_every_row_and_every_step_says_where_its_call_stands(part):
    assert CALL.search(part)


@pytest.mark.parametrize(("call", "file"), sorted(set(FOUND)), ids=lambda text: text.replace("/", "|"))
def test_the_call_stands_in_the_file(call, file):
    assert call in [found for _, found in calls(file)]


def test_the_rows_have_the_order_of_the_loop():
    lines = {}
    for line, call in calls("training/loop.py"):
        lines.setdefault(call, line)
    order = [lines[call] for row in ROWS for call, file in CALL.findall(row) if file == "training/loop.py"]
    assert len(order) == 5
    assert order == sorted(order)


def test_there_are_eight_rows_and_six_steps():
    assert (len(ROWS), len(STEPS)) == (8, 6)
