"""The examples in docstrings are run, in the rooms of the method, and each of these rooms has some."""

import doctest
import importlib
from collections import Counter
from pathlib import Path

import pytest

import ppreid

ROOMS = ("ise", "neighbours", "clustering", "evaluation")
AT_LEAST = 3  # examples in each room


def examples():
    """Every docstring with an example, under its full name."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for room in ROOMS:
        for file in sorted((Path(ppreid.__file__).parent / room).glob("*.py")):
            for found in finder.find(importlib.import_module(f"ppreid.{room}.{file.stem}")):
                if found.examples:
                    yield found


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_gives_what_it_shows(example):
    report = []
    outcome = doctest.DocTestRunner().run(example, out=report.append)
    assert outcome.attempted and not outcome.failed, "".join(report)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_of_the_method_has_examples(room):
    assert Counter(example.name.split(".")[1] for example in EXAMPLES)[room] >= AT_LEAST
