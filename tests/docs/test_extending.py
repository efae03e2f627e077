"""The programs in docs/extending.md are run as they stand, on tiny data."""

import re

import numpy as np
import paddle
import pytest
from pages import ROOT, code_blocks, commands
from scipy.sparse import csr_matrix

import ppreid
from ppreid import contracts, tables
from ppreid.cli import main
from ppreid.run.folder import METRICS
from ppreid.run.metrics import read_metrics

TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
*PROGRAMS, EXERCISE = (block for language, block in code_blocks(TEXT) if language == "python")
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
    tables.PLUGINS.clear()
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


def test_the_exercise_is_a_plugin_of_twenty_lines_that_is_compared_with_ise(run, tiny_config, tmp_path):
    (tmp_path / "margin_loss.py").write_text(EXERCISE)
    assert len([line for line in EXERCISE.splitlines() if line]) <= 20
    (command,) = [line for line in commands(TEXT) if "ablate.py" in line]
    words = command.replace("demo.yaml", str(tiny_config)).split()[2:]
    words[words.index("margin_loss.py")] = str(tmp_path / "margin_loss.py")
    short = ["-o", "solver.epochs=1", "-o", "solver.iters=1", "--out", str(tmp_path / "out")]
    assert main(["ablate", *words, *short]) == 0
    rows = (tmp_path / "out" / "ablation.md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows[2:4]] == ["| ISE (+PIL+LP)", "| Margin"]
    assert all("(2)" in row for row in rows[2:4])


def test_the_loss_of_the_exercise_is_the_cluster_contrast_where_the_margin_is_none(run):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7, 4))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    features, centroids, labels = paddle.to_tensor(unit[:4]), paddle.to_tensor(unit[4:]), np.array([0, 2, 2, 1])
    loss = run(EXERCISE)["margin_contrast"]
    terms = loss(features, labels, centroids, 0.5, temperature=0.05, margin=0.0)
    plain = ppreid.cluster_contrast_loss(features, labels, centroids, temperature=0.05)
    np.testing.assert_allclose(float(terms.total), float(plain), rtol=1e-5)
    assert float(loss(features, labels, centroids, 0.5, temperature=0.05, margin=0.2).total) > float(plain)
