"""A command loads what it works with, and nothing of the others."""

import subprocess
import sys

import numpy as np
import pytest
from law import LIMITS

PROGRAM = """
import sys
from ppreid.cli import main
code = main(sys.argv[1:])
print(*(name for name, module in sys.modules.items() if not hasattr(module, "__path__")), sep="\\n")
sys.exit(code)
"""


def loaded_by(*arguments):
    """Modules, without packages, that a command has loaded at its end."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {line for line in done.stdout.splitlines() if line.startswith(("ppreid.", "jinja2."))}


@pytest.fixture
def features(tmp_path):
    """A file of features: five groups of eight."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(5, 8)), 8, axis=0) + 0.1 * rng.normal(size=(40, 8))
    np.save(tmp_path / "features.npy", (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return tmp_path / "features.npy"


def test_clustering_loads_nothing_of_the_report_or_of_other_commands(features, tmp_path):
    loaded = loaded_by("cluster", "--features", features, "-o", "labels.k1=7", "--out", tmp_path / "labels.csv")
    assert not {name for name in loaded if name.startswith(("jinja2.", "ppreid.report."))}
    verbs = {name for name in loaded if name.startswith("ppreid.verbs.")}
    assert verbs == {"ppreid.verbs.cluster", "ppreid.verbs.command", "ppreid.verbs.ending"}


@pytest.mark.slow
def test_a_command_loads_a_part_of_the_package_only(tiny_config, tmp_path):
    weights = f"model.weights={tmp_path / 'run' / 'checkpoint_best.safetensors'}"
    config = ["-c", tiny_config, "-o", weights]
    for arguments in (
        ["train", "-c", tiny_config, "-o", "solver.epochs=1"],
        ["eval", *config],
        ["search", "index", *config, "--out", tmp_path / "index"],
        ["export", *config, "--out", tmp_path / "net", "--formats", "paddle"],
        ["report", tmp_path / "run"],
        ["doctor", *config],
    ):
        loaded = {name for name in loaded_by(*arguments) if name.startswith("ppreid.")}
        assert len(loaded) <= LIMITS["modules"].limit, arguments[0]
