"""PyTorch's files without PyTorch: every tensor comes back exactly, in both layouts."""

from pathlib import Path

import numpy as np
import pytest

from ppreid.base.errors import WeightsError
from ppreid.weights.torch_files import load_torch

FILES = Path(__file__).parents[1] / "data" / "torch"

TABLE = np.arange(12, dtype=np.float32).reshape(3, 4)
# What make_files.py wrote.
TENSORS = {
    "float32": TABLE,
    "transposed": TABLE.T,
    "slice": np.array([2, 5, 8], np.float32),
    "expanded": np.array([[1], [2]], np.float32),
    "float64": np.array([np.float32(0.1)], np.float64),
    "float16": np.array([1.5, -2.0], np.float16),
    "bfloat16": np.array([1.0, -3.140625, 1e30], np.float32),
    "int64": np.array([-1, 2**60]),
    "int32": np.array([7], np.int32),
    "uint8": np.array([0, 255], np.uint8),
    "bool": np.array([True, False]),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "parameter": np.ones(2, np.float32),
}


@pytest.mark.parametrize("layout", ["archive", "legacy"])
def test_every_kind_of_tensor_comes_back(layout):
    found = load_torch(FILES / f"tensors_{layout}.pth")
    assert list(found) == list(TENSORS)
    for name, expected in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (expected.dtype, expected.shape), name
        assert not found[name].size or not found[name].flags.writeable
        # bfloat16 keeps 8 bits of 1e30, the others everything
        np.testing.assert_allclose(found[name], expected, rtol=2**-8 if name == "bfloat16" else 0)
    assert np.shares_memory(found["float32"], found["transposed"])


@pytest.mark.parametrize("layout", ["archive", "legacy"])
def test_a_checkpoint_with_plain_values(layout):
    found = load_torch(FILES / f"checkpoint_{layout}.pth")
    assert (found["epoch"], found["best_mAP"]) == (3, 0.847)
    np.testing.assert_array_equal(found["state_dict"]["weight"], np.ones(3, np.float32))
    np.testing.assert_array_equal(found["state_dict"]["num_batches_tracked"], 1)


def test_files_of_big_endian_machines(tmp_path, torch_writer):
    path = tmp_path / "net.pth"
    numbers = torch_writer.NUMBERS
    storages = {"0": numbers.astype(">f4").tobytes()}
    torch_writer.write_archive(path, torch_writer.state_dict(a=torch_writer.view()), storages, byte_order="big")
    np.testing.assert_array_equal(load_torch(path)["a"], numbers)


@pytest.mark.parametrize("layout", ["archive", "legacy"])
def test_every_truncation_is_a_clear_error(tmp_path, layout):
    data = (FILES / f"checkpoint_{layout}.pth").read_bytes()
    path = tmp_path / "net.pth"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match=r"net\.pth cannot be read as a PyTorch file: .*truncated, damaged"):
            load_torch(path)


def test_changed_numbers_in_an_archive_are_noticed(tmp_path):
    data = bytearray((FILES / "tensors_archive.pth").read_bytes())
    place = data.index(TABLE.tobytes())
    data[place] ^= 1
    (tmp_path / "net.pth").write_bytes(data)
    with pytest.raises(WeightsError, match="Bad CRC-32"):
        load_torch(tmp_path / "net.pth")
