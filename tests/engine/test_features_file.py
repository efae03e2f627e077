import numpy as np
import pytest

from ppreid.engine.features_file import read_features
from ppreid.errors import DataError

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_an_npy_file_is_memory_mapped_and_its_csv_read(tmp_path):
    np.save(tmp_path / "f.npy", ROWS)
    (tmp_path / "f.csv").write_text("path,pid,camid\na.jpg,4,0\nb.jpg,-1,1\nc.jpg,4,2\n")
    found = read_features(tmp_path / "f.npy")
    assert isinstance(found.features, np.memmap)
    np.testing.assert_array_equal(found.features, ROWS)
    assert found.names == ["a.jpg", "b.jpg", "c.jpg"]
    assert (found.pids.tolist(), found.camids.tolist()) == ([4, -1, 4], [0, 1, 2])


def test_without_a_csv_names_are_row_numbers_and_the_rest_is_unknown(tmp_path):
    np.save(tmp_path / "f.npy", ROWS)
    found = read_features(tmp_path / "f.npy")
    assert found.names == ["0", "1", "2"]
    assert (found.pids.tolist(), found.camids.tolist()) == ([-1] * 3, [-1] * 3)


def test_an_npz_file_may_hold_everything(tmp_path):
    np.savez(tmp_path / "f.npz", features=ROWS, paths=np.array(["a", "b", "c"]), pids=[1, 2, 3], camids=[0, 0, 1])
    found = read_features(tmp_path / "f.npz")
    assert (found.names, found.pids.tolist(), found.camids.tolist()) == (["a", "b", "c"], [1, 2, 3], [0, 0, 1])


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_features(tmp_path / "no.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(DataError, match=r"text\.npy cannot be read"):
        read_features(tmp_path / "text.npy")
    (tmp_path / "notes.md").write_text("no array")
    with pytest.raises(DataError, match=r"features file .*notes\.md is '\.md'; .*choose one of: \.npy, \.npz"):
        read_features(tmp_path / "notes.md")
    np.savez(tmp_path / "cut.npz", features=ROWS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.npz cannot be read"):
        read_features(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", values=ROWS)
    with pytest.raises(DataError, match=r"named 'features'; found: values \(3, 2\)"):
        read_features(tmp_path / "other.npz")
    np.savez(tmp_path / "short.npz", features=ROWS, pids=[1, 2])
    with pytest.raises(DataError, match="3 features but 2 pids"):
        read_features(tmp_path / "short.npz")
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"objects\.npy cannot be read") as caught:
        read_features(tmp_path / "objects.npy")
    assert "allow_pickle" not in str(caught.value)
