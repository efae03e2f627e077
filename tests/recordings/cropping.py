"""The command that crops recordings, and what it wrote."""

import csv
from pathlib import Path

from ppreid.cli import main


def crops(*arguments):
    """Exit code of ppreid crops."""
    return main(["crops", *map(str, arguments)])


def table(file):
    """The rows of a CSV as dicts."""
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def contents(root):
    """Every file below a folder, with its bytes."""
    return {str(file.relative_to(root)): file.read_bytes() for file in Path(root).rglob("*") if file.is_file()}
