import numpy as np
import pytest
from safetensors.numpy import save_file

from ppreid.base.errors import WeightsError
from ppreid.disk.tensor_file import load_tensors, save_tensors

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(3, dtype=np.int64),
    "half": np.ones(4, dtype=np.float16),
    "empty": np.zeros((0, 5), dtype=np.float64),
}
FACTS = {"epoch": 3, "name": "Zürich 人", "nested": {"list": [1, 2.5, None, True]}}


def test_what_is_written_is_read(tmp_path):
    save_tensors(tmp_path / "a.safetensors", TENSORS, FACTS)
    tensors, facts = load_tensors(tmp_path / "a.safetensors")
    assert facts == FACTS
    assert set(tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].shape == array.shape
        np.testing.assert_array_equal(tensors[name], array)


def test_the_same_contents_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_tensors(tmp_path / name, TENSORS, FACTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_transposed_array_keeps_its_values(tmp_path):
    array = np.arange(6.0).reshape(2, 3).T
    save_tensors(tmp_path / "a.safetensors", {"t": array}, {})
    np.testing.assert_array_equal(load_tensors(tmp_path / "a.safetensors").tensors["t"], array)


def test_a_foreign_safetensors_file_has_no_facts(tmp_path):
    save_file({"x": np.ones(2, np.float32)}, tmp_path / "foreign.safetensors")
    assert load_tensors(tmp_path / "foreign.safetensors").facts == {}


def test_every_single_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": np.arange(4, dtype=np.float32)}, {"epoch": 1})
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        try:
            tensors, facts = load_tensors(path)
        except WeightsError:
            continue
        # a flip may change how the header is written (a space, the order of nothing) but never what it says
        assert facts in ({"epoch": 1}, {}), position
        np.testing.assert_array_equal(tensors["a"], np.arange(4, dtype=np.float32))


@pytest.mark.parametrize("length", [0, 1, 8, 60, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, FACTS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        load_tensors(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        load_tensors(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match=r"cannot read .*: it is a folder"):
        load_tensors(tmp_path)
