"""Reading and writing weights files of every kind, whole and damaged."""

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file, save_file

from ppreid.base.errors import WeightsError
from ppreid.weights.files import listed, read_tensors, save_weights, write_tensors

TORCH_FILES = Path(__file__).parents[1] / "data" / "torch"
TENSORS = {"conv1.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bn1._mean": np.ones(2, np.float32)}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_saved_weights_are_a_plain_safetensors_file(tmp_path, tiny_net):
    net, path = tiny_net(embedding_dim=4, bn_chunks=2), tmp_path / "net.safetensors"
    save_weights(path, net)
    expected = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    assert load_file(path).keys() == expected.keys()
    found = read_tensors(path).tensors
    assert_same({name: found[name] for name in expected}, expected)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_of_a_training_checkpoint_only_the_model_is_read(tmp_path):
    path = tmp_path / "last.safetensors"
    state = {f"model.{name}": array for name, array in TENSORS.items()}
    save_file({**state, "optimizer.conv1.weight.moment1": np.zeros(6)}, path, metadata={"epoch": "3"})
    found = read_tensors(path).tensors
    assert_same({name: found[name] for name in TENSORS}, TENSORS)
    assert len(found) == len(TENSORS)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pdparams_as_paddle_writes_them(tmp_path, protocol):
    layer = paddle.nn.Linear(3, 2)
    expected = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    path = tmp_path / "w.pdparams"
    for content in (layer.state_dict(), expected):
        paddle.save(content, str(path), protocol=protocol)
        assert_same(read_tensors(path).tensors, expected)

    paddle.save({"model": layer.state_dict(), "epoch": 3, **layer.state_dict()}, str(path), protocol=protocol)
    with pytest.raises(WeightsError, match=r"is not a state dict.*: model \(dict\), epoch \(int\)$"):
        read_tensors(path)


def test_a_tensor_pickled_with_its_name(tmp_path):
    # paddle.save writes a tensor in a dict of mixed content as (internal name, array).
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps({"w": ("linear_0.w_0", np.ones(2))}, 4))
    assert_same(read_tensors(path).tensors, {"w": np.ones(2)})


@pytest.mark.parametrize("content", [[np.ones(2)], np.ones(2)], ids=["list", "array"])
def test_pdparams_that_are_no_state_dict(tmp_path, content):
    path = tmp_path / "w.pdparams"
    paddle.save(content, str(path))
    with pytest.raises(WeightsError, match="expected a dict of named tensors"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".pt", ".bin"])
@pytest.mark.parametrize("layout", ["archive", "legacy"])
def test_the_state_dict_of_a_pytorch_checkpoint(tmp_path, suffix, layout):
    path = tmp_path / f"model_best{suffix}"
    shutil.copy(TORCH_FILES / f"checkpoint_{layout}.pth", path)
    tensors, entry = read_tensors(path)
    assert entry == "state_dict"
    assert list(tensors) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    np.testing.assert_allclose(tensors["running_mean"], [0.15, 0.25, 0.35], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        ({"model": TENSORS, "epoch": 3}, "model", None),
        ({"state_dict": TENSORS, "best_mAP": np.array(0.8)}, "state_dict", None),
        (TENSORS, "", None),
        ({"state_dict": TENSORS, "model": TENSORS}, None, r"not tensors: state_dict \(dict\), model \(dict\)$"),
        ({"state_dict": TENSORS, "queue": np.ones(3), "epoch": 3}, "state_dict", None),
        ({"student": TENSORS, "teacher": TENSORS, "epoch": 3}, "teacher", None),
        ({}, None, "holds no tensor at all"),
        ({"state_dict": {**TENSORS, "lr": 0.1}}, None, r"the entry 'state_dict' of .* not tensors: lr \(float\)$"),
        ({"weights": TENSORS}, None, r"not tensors: weights \(dict\)$"),
    ],
)
def test_a_state_dict_inside_a_checkpoint_is_found_or_the_error_lists_the_entries(tmp_path, content, entry, message):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps(content))
    if message:
        with pytest.raises(WeightsError, match=message):
            read_tensors(path)
    else:
        found = read_tensors(path)
        assert_same(found.tensors, TENSORS)
        assert found.entry == entry


@pytest.mark.parametrize("suffix", [".safetensors", ".pdparams"])
def test_written_tensors_come_back_and_nothing_is_left_beside_them(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    tensors = {"half": np.ones(3, np.float16), "number": np.array(2.5), "turned": TENSORS["conv1.weight"].T}
    for content in (TENSORS, tensors):
        write_tensors(path, content)
        found = read_tensors(path).tensors
        assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
            name: (array.dtype, array.shape) for name, array in content.items()
        }
        assert_same({name: found[name] for name in content}, content)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_paddle_reads_what_is_written_as_pdparams(tmp_path):
    write_tensors(tmp_path / "w.pdparams", TENSORS)
    found = paddle.load(str(tmp_path / "w.pdparams"))
    assert all(isinstance(tensor, paddle.Tensor) for tensor in found.values())
    assert_same({name: tensor.numpy() for name, tensor in found.items()}, TENSORS)


@pytest.mark.parametrize("suffix", [".safetensors", ".pdparams", ".pth"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_damaged_files(tmp_path, suffix, damage):
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(TENSORS, path)
    elif suffix == ".pth":
        shutil.copy(TORCH_FILES / "tensors_archive.pth", path)
    else:
        paddle.save(TENSORS, str(path))
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "truncated": data[:-5], "text": b"<html>404 not found</html>"}[damage])
    with pytest.raises(WeightsError, match=rf"w{suffix} cannot be read as .*truncated, damaged or of another kind"):
        read_tensors(path)


def test_a_missing_file_is_answered_with_what_may_be_meant(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("model.pdparams", "run/checkpoint_best.safetensors", "run/checkpoint_last.safetensors", "run/log.txt"):
        (tmp_path / name).write_bytes(b"")
    for name, answer in {
        "model": rf"did you mean {tmp_path}/model\.pdparams\?$",
        "model.pth": rf"did you mean {tmp_path}/model\.pdparams\?$",
        "modle.pdparams": rf"did you mean {tmp_path}/model\.pdparams\?$",
        "run/checkpoint_bst.safetensors": rf"did you mean {run}/checkpoint_best\.safetensors or .*last.safetensors\?$",
        "run": rf"it is a folder; did you mean {run}/checkpoint_best\.safetensors\?$",
        "resnet50.pdparams": rf"{tmp_path} holds model\.pdparams; give .*-o model\.weights=FILE.*docs/weights\.md",
        "no/such/w.pth": rf"there is no folder {tmp_path}/no/such \({tmp_path} is there\); give .*docs/weights\.md",
        "run/../run/log.txt/w.pth": "there is no folder .*log.txt",
    }.items():
        with pytest.raises(WeightsError, match=answer) as caught:
            read_tensors(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(WeightsError, match=r"no weights file empty/w\.pth.*"):
        read_tensors("empty/w.pth")


@pytest.mark.parametrize(
    "name", ["model", "model.pth.tar-60", "model.ckpt", "model_final.safetensors", "model.pdparams"]
)
@pytest.mark.parametrize("kind", ["safetensors", "pdparams", "archive", "legacy"])
def test_the_content_decides_and_not_the_name(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "safetensors":
        save_file(TENSORS, path)
    elif kind == "pdparams":
        paddle.save(TENSORS, str(path))
    else:
        shutil.copy(TORCH_FILES / f"checkpoint_{kind}.pth", path)
    assert ("weight" if kind in ("archive", "legacy") else "conv1.weight") in read_tensors(path).tensors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "pointer of Git LFS.*git lfs pull"),
        (b"<!doctype html>", "it is a web page; the download failed"),
        (b"\n <html>", "it is a web page"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\x93NUMPY\x01", "it is a numpy array"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"x" * 257 + b"ustar", "tar archive"),
        (b"\x1b[2J" * 3, r"it begins with b'\\x1b\[2J"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, content, message):
    for name in ("w", "w.onnx"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{tmp_path}/{name} cannot be read as weights: .*{message}"):
            read_tensors(tmp_path / name)


def test_archives_of_others_are_named(tmp_path):
    np.savez(tmp_path / "w.npz", **TENSORS)
    with pytest.raises(WeightsError, match=r"it holds numpy arrays \(\.npz\)"):
        read_tensors(tmp_path / "w.npz")
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"N.")
        archive.writestr("net/constants.pkl", b"N.")
    with pytest.raises(WeightsError, match=r"TorchScript.*state_dict"):
        read_tensors(tmp_path / "w.pt")


def test_weights_are_written_as_safetensors_only(tmp_path, tiny_net):
    with pytest.raises(WeightsError, match=r"written as \.safetensors, but the path is .*net\.pdparams"):
        save_weights(tmp_path / "net.pdparams", tiny_net())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.pth", r"net\.pth is not written: PyTorch's own files are programs.*change the suffix to \.safetensors"),
        ("net.pth.tar", "PyTorch's own files are programs"),
        ("net.pdparam", r"is '\.pdparam'; did you mean '\.pdparams'\?"),
    ],
)
def test_other_suffixes_are_not_written(tmp_path, name, message):
    with pytest.raises(WeightsError, match=message):
        write_tensors(tmp_path / name, TENSORS)
    assert not list(tmp_path.iterdir())


def test_long_lists_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(1500))).endswith("18, 19, ... and 1,480 more")
