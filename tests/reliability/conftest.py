"""Runs to compare with."""

import os

import numpy as np
import pytest
from faults import faults

from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.folder import BEST, LABELS, LAST, METRICS
from ppreid.run.metrics import read_metrics
from ppreid.verbs.train import train

TIMES = {"seconds", "stage_seconds", "peak_memory_gb"}


@pytest.fixture(autouse=True)
def faults_can_happen():
    """Faults of the variable, which is read when a place is reached, happen in this process."""
    with faults():
        yield


@pytest.fixture(scope="session")
def twin(write_tiny_config, tmp_path_factory):
    """Folder of a tiny run that nobody stopped."""
    folder = tmp_path_factory.mktemp("twin")
    train(load_config(write_tiny_config(folder)))
    return folder / "run"


@pytest.fixture
def assert_equals_twin(twin):
    """Checks that a run ended as the twin did: weights, moments, labels and metrics bit for bit, nothing left over."""

    def check(run):
        for name in (LAST, BEST):
            one, two = load_tensors(run / name), load_tensors(twin / name)
            assert one.tensors.keys() == two.tensors.keys()
            for key, array in one.tensors.items():
                np.testing.assert_array_equal(array, two.tensors[key], err_msg=f"{name} {key}")
            assert one.facts["history"] == two.facts["history"]
        assert (run / LABELS).read_text() == (twin / LABELS).read_text()
        assert rows_without_times(run) == rows_without_times(twin)
        assert [name for name in os.listdir(run) if name.endswith(".tmp") or name == "run.lock"] == []

    return check


def rows_without_times(run):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_metrics(run / METRICS)]
