"""Every command that reads weights, given every kind of bad file: exit code 4, the file named, nothing written."""

import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import ppreid
from ppreid import wiring
from ppreid.base.errors import PpreidWarning, WeightsError
from ppreid.cli import main
from ppreid.config.data import DataConfig
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.run.checkpoint import read_checkpoint
from ppreid.verbs.network import trained_network
from ppreid.weights.checks import check_numbers
from ppreid.weights.files import save_weights

CONV, VARIANCE = "backbone.conv1.weight", "backbone.bn1._variance"


def changed(name, value, *, place=0, kind=np.float32):
    """A damage: one number of one tensor, in a file of this type."""

    def damage(path):
        tensors = {key: array.astype(kind) for key, array in load_file(path).items()}
        tensors[name].reshape(-1)[place] = value
        save_file(tensors, path)

    return damage


def all_of(name, value):
    def damage(path):
        tensors = load_file(path)
        tensors[name][:] = value
        save_file(tensors, path)

    return damage


def written(content):
    return lambda path: path.write_bytes(content)


def replaced_by_folder(path):
    path.unlink()
    path.mkdir()


def replaced_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def with_head(path):
    save_file({**load_file(path), "head.weight": np.full((3, 64), np.nan, np.float32)}, path)


BAD = {
    "a NaN": (changed(CONV, np.nan), r"1 of its \d+ tensors .* backbone\.conv1\.weight: 1 of 1,176 are NaN"),
    "all NaN": (all_of(CONV, np.nan), r"1,176 of 1,176 are NaN"),
    "infinite": (changed("neck.weight", np.inf), r"neck\.weight: 1 of 64 are infinite"),
    "a variance below zero": (changed(VARIANCE, -1e-3, place=5), r"bn1\._variance: 1 of 8 are negative"),
    "a variance of NaN": (changed(VARIANCE, np.nan), r"bn1\._variance: 1 of 8 are NaN"),
    "too large for float16": (
        changed(VARIANCE, np.inf, kind=np.float16),
        r"bn1\._variance: 1 of 8 are infinite.*float32",
    ),
    "cut to float16": (
        changed(VARIANCE, 65504, kind=np.float16),
        r"bn1\._variance: 1 of 8 are 65,504, where float16 ends",
    ),
    "too large for float32": (changed(CONV, 1e300, kind=np.float64), r"conv1\.weight: 1 of 1,176 are infinite"),
    "a head of NaN": (with_head, r"head\.weight: 192 of 192 are NaN"),
    "integers": (lambda path: save_file({**load_file(path), CONV: np.zeros((8, 3, 7, 7), np.int8)}, path), "int8"),
    "missing": (lambda path: path.unlink(), "there is no weights file"),
    "empty": (written(b""), "it is empty"),
    "a web page": (written(b"<html>"), "it is a web page"),
    "a pickle that runs": (written(b"\x80\x02cos\nsystem\n(S'touch sentinel'\ntR."), r"asks for os\.system"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "truncated, damaged or of another kind"),
    "a folder": (replaced_by_folder, "cannot read .*: it is a folder"),
    "a pipe": (replaced_by_pipe, "cannot read .*: it is a pipe"),
}
# Commands that read weights, with W for the file, I for a folder of images and O for something to write.
COMMANDS = {
    "eval": ["eval", "-c", "C", "-o", "model.weights=W"],
    "extract": ["extract", "-c", "C", "-o", "model.weights=W", "--part", "train", "--out", "O.npy"],
    "search index": ["search", "index", "-c", "C", "-o", "model.weights=W", "--images", "I", "--out", "O"],
    "export": ["export", "-c", "C", "-o", "model.weights=W", "--out", "O", "--formats", "paddle"],
    "cluster": ["cluster", "-c", "C", "-o", "model.weights=W", "--out", "O.csv"],
    "train": ["train", "-c", "C", "-o", "model.weights=W"],
    "convert-weights": ["convert-weights", "W", "O.safetensors", "-c", "C"],
}


@pytest.fixture
def command(write_tiny_config, tiny_root, tmp_path, monkeypatch):
    """Runs one of COMMANDS, or anything else, on a file of weights; gives exit code and path of what it would write."""
    monkeypatch.chdir(tmp_path)
    config, output = write_tiny_config(tmp_path), tmp_path / "out"
    paths = {"C": str(config), "I": str(tiny_root / "demo" / "query"), "O": str(output)}

    def run(words, weights):
        filled = [re.sub(r"^([CIO])(?=$|\.)", lambda m: paths[m[1]], word) for word in words]
        return main([str(weights) if word == "W" else word.replace("=W", f"={weights}") for word in filled])

    return run


@pytest.fixture
def weights(tmp_path, write_tiny_config):
    """A good file of weights for the tiny network."""
    path = tmp_path / "net.safetensors"
    save_weights(path, wiring.reid_net(load_config(write_tiny_config(tmp_path)).model))
    return path


def assert_nothing_was_written(folder):
    left = {path.name for path in folder.iterdir()} - {"tiny.yaml", "net.safetensors", "run"}
    assert not {name for name in left if not name.startswith("out")} and "sentinel" not in left
    made = {path.name for path in (*folder.glob("out*"), *folder.glob("out/*")) if path.is_file()}
    # of an index only what the same command begins with the next time; without index.json it is none
    begun = {"network.safetensors", "config.yaml", "run.lock", "out.bad_images.txt"}
    assert not made - begun, made


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_every_bad_file(name, bad, command, weights, tmp_path, capsys):
    damage, message = BAD[bad]
    damage(weights)
    assert command(COMMANDS[name], weights) == 4
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert str(weights) in error
    assert "Traceback" not in error
    assert_nothing_was_written(tmp_path)


@pytest.mark.parametrize("bad", BAD)
def test_the_doctor_finds_every_bad_file(bad, command, weights, capsys):
    damage, message = BAD[bad]
    damage(weights)
    assert command(["doctor", "-c", "C", "-o", "model.weights=W"], weights) == 1
    assert re.search(message, capsys.readouterr().out)


@pytest.mark.parametrize("bad", sorted(BAD.keys() - {"integers"}))  # which no network takes, but a file may hold
def test_whoever_verifies_finds_every_bad_file(bad, command, weights, capsys):
    damage, message = BAD[bad]
    damage(weights)
    assert command(["weights", "verify", "W"], weights) == 4
    assert re.search(message, capsys.readouterr().err)


def test_weights_have_one_door():
    """Whatever is looked at there is looked at for every command, also for those that come later (report, ablate)."""
    package = Path(ppreid.__file__).parent
    doors = re.compile(r"\b(load_weights|match_weights|read_tensors|load_torch|load_arrays)\(")
    users = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if file.parent.name != "weights" and doors.search(file.read_text(encoding="utf-8"))
    }
    # the start of a training, a network to use, a file to rewrite, and one to look at
    assert users == {"verbs/inputs.py", "verbs/network.py", "verbs/convert_weights.py", "verbs/weights.py"}


def test_the_good_file_is_taken_by_every_command(command, weights, tmp_path):
    for name in COMMANDS:
        if name != "train":
            assert command(COMMANDS[name], weights) == 0, name
            for made in tmp_path.glob("out*"):
                shutil.rmtree(made) if made.is_dir() else made.unlink()


def dead(path):
    """Every image gets the feature of the neck's bias: the weights are finite, and good for nothing."""
    tensors = load_file(path)
    tensors["neck.weight"][:] = 0
    tensors["neck.bias"][:] = 1
    save_file(tensors, path)


@pytest.mark.parametrize("name", ["eval", "extract", "search index", "export", "cluster"])
def test_features_that_are_all_the_same_end_every_command_that_needs_them(name, command, weights, tmp_path, capsys):
    dead(weights)
    for _attempt in range(2):  # what the first one left behind does not help the second
        assert command(COMMANDS[name], weights) == 4
        assert re.search(r"all \d+ features are the same to 1e-05.*weights are damaged", capsys.readouterr().err)
        assert_nothing_was_written(tmp_path)


def test_equal_features_from_a_file_are_refused_as_data(command, weights, tmp_path, capsys):
    np.save(tmp_path / "f.npy", np.tile(np.eye(8, dtype=np.float32)[0], (300, 1)))
    assert command(["cluster", "-c", "C", "--features", str(tmp_path / "f.npy"), "--out", "O.csv"], weights) == 3
    assert "all 300 features are the same" in capsys.readouterr().err


def test_copies_of_one_image_can_be_extracted(command, weights, tmp_path, tiny_root):
    folder = tmp_path / "images"
    folder.mkdir()
    picture = next((tiny_root / "demo" / "query").iterdir())
    for number in range(2):
        shutil.copy(picture, folder / f"{number}.jpg")
    words = ["extract", "-c", "C", "-o", "model.weights=W", "--images", str(folder), "--out", "O.npy"]
    assert command(words, weights) == 0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_what_the_system_says_is_said_with_the_path(name, error, command, weights, capsys, monkeypatch):
    real = os.stat

    def stat(path, *args, **kwargs):
        if str(path) == str(weights):
            raise error
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
    assert command(COMMANDS[name], weights) == 4
    assert f"cannot read {weights}: {error.strerror}" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_names_that_no_file_can_have(name, command, tmp_path, capsys):
    assert command(COMMANDS[name], Path("x" * 300)) == 4
    assert "cannot read xxx" in capsys.readouterr().err


def test_many_tensors_are_counted_and_the_first_named():
    tensors = {f"layer{i}.weight": np.full(3, np.nan, np.float32) for i in range(9)}
    with pytest.raises(WeightsError) as caught:
        check_numbers("w.pth", {**tensors, "good": np.ones(3, np.float32), "counter": np.array(-1)})
    message = str(caught.value)
    assert "9 of its 11 tensors" in message and "and 6 more tensors" in message
    assert "layer2.weight: 3 of 3 are NaN" in message and "layer3" not in message


@pytest.mark.parametrize("name", ["bn1.running_var", "layer1.0.bn1.BN._variance", "running_var", "_variance"])
def test_variances_are_known_by_their_names(name):
    with pytest.raises(WeightsError, match="1 of 2 are negative, which a variance cannot be"):
        check_numbers("w", {name: np.array([-1e-9, 1], np.float32)})
    check_numbers("w", {name: np.array([0, 1], np.float32), "bn1.running_mean": np.array([-1], np.float32)})


@pytest.mark.parametrize("name", ["model.backbone.conv1.weight", "optimizer.backbone.conv1.weight/moment1_0"])
def test_a_checkpoint_with_such_numbers_is_not_resumed(name, tmp_path):
    frozen = Path(__file__).parents[1] / "data" / "checkpoints" / "format_1.safetensors"
    tensors, facts = load_tensors(frozen)
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_tensors(tmp_path / "checkpoint_last.safetensors", tensors, facts)
    read_checkpoint(frozen)
    with pytest.raises(
        WeightsError, match=rf"was refused: 1 of its \d+ tensors .*{re.escape(name)}: \d+ of \d+ are NaN"
    ):
        read_checkpoint(tmp_path / "checkpoint_last.safetensors")


@pytest.mark.parametrize(("key", "here", "there"), [("last_stride", 1, 2), ("pooling", "avg", "max")])
def test_a_checkpoint_warns_of_what_no_shape_shows(key, here, there, weights, tmp_path):
    tensors = {f"model.{name}": array for name, array in load_file(weights).items()}
    cfg = load_config(tmp_path / "tiny.yaml", [f"model.weights={weights}"]).model
    text = f"trained with model.{key}={there}, here it is {here}; pass -o model.{key}={there}"
    for value in (there, here, [1], {"a": 1}):
        save_tensors(weights, tensors, {"config": {"model": {key: value}}})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PpreidWarning)
            trained_network(cfg, DataConfig())
        assert [w for w in caught if text in str(w.message)] if value == there else not caught
