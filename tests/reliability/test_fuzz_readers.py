"""A fixed sample of what fuzz_readers.py does for as long as one wants."""

import numpy as np
import pytest
from fuzz_readers import damaged, honest_files, read_damaged

NAMES = (
    "weights", "checkpoint", "pickle 2", "pickle 4", "torch archive", "torch legacy", "npy", "npz", "csv of features",
    "configuration", "metrics", "list of MSMT17", "table of cameras", "labels",
)  # fmt: skip


def test_every_file_has_its_test(tmp_path):
    assert set(honest_files(tmp_path)) == set(NAMES)


@pytest.mark.filterwarnings("ignore")  # numpy warns about damaged headers
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_or_refused_but_nothing_else_happens(tmp_path, name):
    content, suffix, reader = honest_files(tmp_path)[name]
    path = tmp_path / f"case{suffix}"
    path.write_bytes(content)
    assert read_damaged(path, reader)
    rng, outcomes = np.random.default_rng(NAMES.index(name)), []
    for _ in range(60 if name == "checkpoint" else 200):
        path.write_bytes(damaged(content, rng))
        outcomes.append(read_damaged(path, reader))
    assert not all(outcomes)
