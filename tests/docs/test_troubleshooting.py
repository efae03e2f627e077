"""Every message that the page on troubleshooting quotes is one that ppreid has."""

import ast
import re

import pytest
from pages import ROOT

PAGES = sorted((ROOT / "docs").rglob("troubleshooting.md"))
# of pip, numpy, Python and PaddlePaddle: nothing in ppreid says these
OF_OTHERS = (
    "No matching distribution found for paddlepaddle",
    "A module that was compiled using NumPy 1.x cannot be run in NumPy 2",
    "numpy.core.multiarray failed to import",
    "No module named 'distutils'",
    "Bus error",
    "ResourceExhaustedError",
    "Out of memory error on GPU 0",
    "no kernel image is available",
    "Cannot load cudnn shared library",
)


def text_of(node):
    """Text of a literal in the code, with … for what is filled in; "" for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


@pytest.fixture(scope="module")
def texts():
    """All texts in ppreid's own code that are more than a word; docstrings do not reach a user."""
    found = set()
    for file in (ROOT / "ppreid").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found |= {text_of(node) for node in ast.walk(tree) if id(node) not in docstrings}
    return [text for text in found if text]


def quoted(page):
    for heading in re.findall(r"^### (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", heading)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_quoted_messages_are_those_of_the_code(page, texts):
    messages = list(quoted(page))
    assert len(messages) > 25
    for message in messages:
        assert message in OF_OTHERS or any(message in text for text in texts), message


def test_a_message_that_nobody_says_would_be_noticed(texts):
    assert not any("no clusters were found in" in text for text in texts)


def test_every_language_quotes_the_same_messages():
    assert len({tuple(quoted(page)) for page in PAGES}) == 1
