"""The programs in docs/extending.md are run as they stand, on tiny data."""

import re

import numpy as np
import pytest
from pages import ROOT, code_blocks
from scipy.sparse import csr_matrix

import ppreid
from ppreid import contracts, tables
from ppreid.run.folder import METRICS
from ppreid.run.metrics import read_metrics

TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PROGRAMS = [block for language, block in code_blocks(TEXT) if language == "python"]
TABLES = ("CLUSTERERS", "MEMORY_UPDATES", "OBJECTIVES", "DATASETS")


@pytest.fixture
def run(tiny_config, tmp_path, monkeypatch):
    """Runs a program on the tiny data in place of the demo data, and gives its names."""
    real = ppreid.load_config

    def tiny(name, overrides=(), **kwargs):
        assert name == "demo.yaml"
        return real(tiny_config, [*overrides, "solver.epochs=1", "labels.eps=0.6"], **kwargs)

    monkeypatch.setattr(ppreid, "load_config", tiny)
    before = {table: dict(getattr(tables, table)) for table in TABLES}

    def run_program(program):
        names = {}
        exec(compile(program, "docs/extending.md", "exec"), names)  # noqa: S102 - our own page
        return names

    yield run_program
    for table, rows in before.items():
        getattr(tables, table).clear()
        getattr(tables, table).update(rows)


def test_every_table_is_named_with_its_key_and_its_contract():
    rows = re.findall(r"^\| `([a-z._]+)` \| `([A-Z_]+)` \| (?:`(\w+)` )?\|", TEXT, re.MULTILINE)
    others = re.findall(r"`([A-Z_]+)`\s+\(`([a-z.]+)`\)", TEXT)
    found = {key: table for key, table, _ in rows} | {key: table for table, key in others}
    assert {key: getattr(tables, table) for key, table in found.items()} == tables.CHOICES
    for _, _, contract in rows[1:]:
        assert getattr(contracts, contract)._is_protocol


def test_there_is_a_program_for_each_of_the_four():
    assert len(PROGRAMS) == 4
    assert all(f"tables.{table}[" in program for table, program in zip(TABLES, PROGRAMS, strict=True))


@pytest.mark.parametrize("number", range(4))
def test_the_program_trains(number, run, tmp_path):
    names = run(PROGRAMS[number])
    assert [row["event"] for row in read_metrics(tmp_path / "run" / METRICS)][-1] == "summary"
    if number == 0:  # a chain 0-1-2, a pair 3-4, and 5 alone; the stored pair 2-3 is too far
        rows, columns = np.array([0, 1, 3, 2]), np.array([1, 2, 4, 3])
        pairs = csr_matrix((np.array([0.1, 0.3, 0.2, 0.9], np.float32), (rows, columns)), shape=(6, 6))
        linked = names["linked_labels"]
        assert linked(pairs + pairs.T, eps=0.5, min_samples=2).tolist() == [0, 0, 0, 1, 1, -1]
        assert linked(pairs + pairs.T, eps=0.5, min_samples=3).tolist() == [0, 0, 0, -1, -1, -1]
