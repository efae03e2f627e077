"""Weights of other code bases, through the commands: conversion there and back, and evaluation of released files."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from ppreid.cli import main
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet
from ppreid.verbs.convert_weights import NAMINGS_HELP
from ppreid.weights.files import read_tensors, save_weights, write_tensors
from ppreid.weights.name_rules import NAMINGS
from ppreid.weights.names import from_ppreid_names, namings_of

RESNET_NAMINGS = namings_of(ReIDNet(resnet(18, base_width=2)).state_dict())

MODEL = ["-o", "model.backbone=resnet18", "-o", "model.base_width=8"]


@pytest.fixture
def in_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained_net(depth=18, seed=3, **options):
    """A network whose every tensor differs from its initial value."""
    paddle.seed(seed)
    net = ReIDNet(resnet(depth, base_width=8), **options)
    rng = np.random.default_rng(seed)
    for name, tensor in net.state_dict().items():
        noise = rng.uniform(0, 0.1, tensor.shape) if name.endswith("_variance") else rng.normal(0, 0.1, tensor.shape)
        tensor.set_value(tensor.numpy() + noise.astype(np.float32))
    return net


def test_a_naming_of_other_networks_is_refused(in_folder, capsys):
    save_weights("ours.safetensors", trained_net())
    assert convert("ours.safetensors", "theirs.safetensors", "--to", "transreid") == 2
    message = capsys.readouterr().err
    assert "--to for resnet18 is 'transreid'" in message and "torchvision" in message and "pass" not in message


def arrays(net):
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def convert(*arguments, model=MODEL):
    return main(["convert-weights", *map(str, arguments), *model])


@pytest.mark.parametrize("naming", RESNET_NAMINGS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pdparams"])
def test_there_and_back_is_exact(in_folder, naming, suffix, capsys):
    net = trained_net(embedding_dim=6)
    save_weights("ours.safetensors", net)
    model = [*MODEL, "-o", "model.embedding_dim=6"]

    assert convert("ours.safetensors", f"theirs{suffix}", "--to", naming, model=model) == 0
    assert convert(f"theirs{suffix}", "again.safetensors", model=model) == 0

    assert f"({naming} names" in capsys.readouterr().err
    assert_same(load_file("again.safetensors"), arrays(net))
    theirs = read_tensors(f"theirs{suffix}").tensors
    expected = from_ppreid_names(arrays(net), naming)
    assert theirs.keys() == expected.keys()
    embedding = next(array for array in theirs.values() if 6 in array.shape[:2] and array.ndim > 1)
    assert embedding.shape[:2] == ((6, 64) if NAMINGS[naming].from_torch else (64, 6))


def test_a_pytorch_checkpoint_becomes_ours(in_folder, capsys, torch_writer):
    net = trained_net(embedding_dim=6)
    theirs = from_ppreid_names(arrays(net), "ise-reid-parallel")
    head, counter = np.zeros((9, 6), np.float32), np.zeros(1, np.float32)
    extra = {"module.classifier.weight": head, "module.base.1.num_batches_tracked": counter}
    torch_writer.write_state_dict("model_best.pth.tar", {**theirs, **extra})

    assert convert("model_best.pth.tar", "ours.safetensors", model=[*MODEL, "-o", "model.embedding_dim=6"]) == 0

    out = capsys.readouterr().err
    for text in ("entry 'state_dict' (ise-reid-parallel names, sha256 ", "written: "):
        assert text in out
    assert "left out: module.classifier.weight, 1 counters (num_batches_tracked)" in out
    assert_same(load_file("ours.safetensors"), arrays(net))


def test_a_backbone_alone_stays_one_and_half_precision_stays_half(in_folder, capsys):
    backbone = {name: array for name, array in arrays(trained_net()).items() if name.startswith("backbone.")}
    half = {name: array.astype(np.float16) for name, array in backbone.items()}
    save_file(from_ppreid_names(half, "torchvision"), "imagenet.safetensors")
    assert convert("imagenet.safetensors", "ours.safetensors") == 0
    assert "not in the file: neck.weight, neck.bias, neck._mean, neck._variance" in capsys.readouterr().err
    assert_same(load_file("ours.safetensors"), half)


def test_a_file_is_replaced_only_on_request(in_folder, capsys):
    save_weights("ours.safetensors", trained_net())
    Path("out.safetensors").write_bytes(b"precious")
    assert convert("ours.safetensors", "out.safetensors") == 2
    assert "out.safetensors exists; pass --overwrite" in capsys.readouterr().err
    assert Path("out.safetensors").read_bytes() == b"precious"
    assert convert("ours.safetensors", "out.safetensors", "--overwrite") == 0
    assert_same(load_file("out.safetensors"), load_file("ours.safetensors"))
    assert {path.name for path in in_folder.iterdir()} == {"ours.safetensors", "out.safetensors"}


@pytest.mark.parametrize("name", ["out.safetensors", "out.pdparams"])
def test_the_same_command_again_finds_its_work_done(name, in_folder, capsys):
    net = trained_net()
    save_weights("ours.safetensors", net)
    options = ("--to", "paddleclas-recmodel")
    assert convert("ours.safetensors", name, *options) == 0
    before = (Path(name).stat().st_ino, Path(name).read_bytes())
    assert convert("ours.safetensors", name, *options) == 0
    assert f"{name} is complete already" in capsys.readouterr().err
    assert (Path(name).stat().st_ino, Path(name).read_bytes()) == before
    assert convert("ours.safetensors", name) == 2  # under other names
    changed = {key: array + (key == "neck.bias") for key, array in arrays(net).items()}
    for others in (changed, {key: array for key, array in changed.items() if key != "neck.bias"}):
        save_file(others, "others.safetensors")
        assert convert("others.safetensors", name, *options) != 0
    assert (Path(name).stat().st_ino, Path(name).read_bytes()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ours.safetensors", "out.pth"], 4, "PyTorch's own files are programs"),
        (["ours.safetensors", "out.npz"], 4, "is '.npz'; "),
        (["ours.safetensors", "no/out.safetensors"], 8, "no/out.safetensors cannot be written: No such file or"),
        (["ours.safetensors", "out.safetensors", "--to", "paddleclas"], 2, "--to is 'paddleclas'; did you mean"),
        (["ours.safetensors", "out.safetensors", "--from", "torch"], 2, "--from is 'torch'"),
        (["ours.safetensors", "out.safetensors", "--from", "ise-reid"], 4, "(ise-reid names) does not fit the model"),
        (["none.safetensors", "out.safetensors"], 4, "there is no weights file none.safetensors"),
        (["ours.safetensors", "out.safetensors", "-o", "model.backbone=resnet34"], 4, "missing in the file: backbone."),
    ],
)
def test_errors_write_nothing(in_folder, capsys, arguments, code, message):
    save_weights("ours.safetensors", trained_net())
    assert main(["convert-weights", *arguments[:2], *MODEL, *arguments[2:]]) == code
    assert message in capsys.readouterr().err
    assert {path.name for path in in_folder.iterdir()} == {"ours.safetensors"}


def test_the_help_names_all_namings():
    assert NAMINGS_HELP.partition(";")[0].replace(" or ", ", ").split(", ") == list(NAMINGS)


@pytest.fixture
def noise_root(tmp_path_factory) -> Path:
    """A data root with "demo": images of noise, so that the metrics are what the weights happen to make of them."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, shots in (("bounding_box_train", 1), ("query", 1), ("bounding_box_test", 2)):
        (root / "demo" / part).mkdir(parents=True)
        for pid, camera, shot in product(range(1, 11), (1, 2), range(shots)):
            image = Image.fromarray(rng.integers(0, 256, (32, 16, 3), np.uint8))
            image.save(root / "demo" / part / f"{pid:04d}_c{camera}s1_{shot:06d}_00.jpg")
    return root


@pytest.fixture
def evaluate(in_folder, noise_root):
    """Runs eval with the released configuration on a tiny data set, as a user would, and gives its results."""

    def run(*overrides):
        small = [f"data.root={noise_root}", "data.name=demo", "data.height=32", "data.width=16", "data.num_workers=0"]
        options = [word for key in (*small, "model.base_width=8", *overrides) for word in ("-o", key)]
        code = main(["eval", "-c", "ResNet50_UReID_infer.yaml", *options])
        return code, json.loads(Path("output/eval/results.json").read_text()) if code == 0 else None

    return run


def test_a_released_model_in_its_place_is_evaluated_by_name(evaluate, capsys):
    """The file is as PaddleClas writes it: RecModel names, a classifier head, paddle.save."""
    net = trained_net(50)
    save_weights("ours.safetensors", net)
    head = {"head.fc.weight": np.zeros((net.feature_dim, 751), np.float32), "head.fc.bias": np.zeros(751, np.float32)}
    Path("pd_model_trace/ISE").mkdir(parents=True)
    released = Path("pd_model_trace/ISE/ISE_M_model.pdparams")
    write_tensors(released, {**from_ppreid_names(arrays(net), "paddleclas-recmodel"), **head})

    code, results = evaluate()
    assert code == 0
    assert "paddleclas-recmodel names" in capsys.readouterr().err
    _, expected = evaluate("model.weights=ours.safetensors")
    assert results["results"] == expected["results"]
    save_weights("other.safetensors", trained_net(50, seed=4))
    assert evaluate("model.weights=other.safetensors")[1]["results"] != expected["results"]
    assert Path(results["weights"]["path"]) == released

    digest = results["weights"]["sha256"]
    assert evaluate(f"model.weights_sha256={digest}")[0] == 0
    assert evaluate(f"model.weights_sha256={'ab' * 32}")[0] == 4
    error = capsys.readouterr().err
    assert digest in error
    assert "ab" * 32 in error


def test_a_pytorch_file_is_evaluated_directly(evaluate, torch_writer):
    net = trained_net(50)
    save_weights("ours.safetensors", net)
    torch_writer.write_state_dict("model_best.pth.tar", from_ppreid_names(arrays(net), "ise-reid-parallel"))
    code, results = evaluate("model.weights=model_best.pth.tar")
    assert code == 0
    assert results["results"] == evaluate("model.weights=ours.safetensors")[1]["results"]


def test_a_pin_holds_for_initial_weights_as_well(tiny_config, in_folder, capsys):
    save_weights("start.safetensors", trained_net())
    pin = ["-o", "model.weights=start.safetensors", "-o", f"model.weights_sha256={'ab' * 32}"]
    assert main(["train", "-c", str(tiny_config), *pin]) == 4
    assert f"expected {'ab' * 32}" in capsys.readouterr().err


@pytest.mark.parametrize("pin", ["abc", "g" * 64, "0" * 63])
def test_a_pin_that_is_no_digest(tiny_config, in_folder, capsys, pin):
    assert main(["eval", "-c", str(tiny_config), "-o", f"model.weights_sha256='{pin}'"]) == 2
    assert "model.weights_sha256" in capsys.readouterr().err
