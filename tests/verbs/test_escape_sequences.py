"""Names of files are chosen by strangers: no command sends one to a terminal as anything but text.

A camera called like a file name, a readable and a damaged image, in every part of a data set and through every command.
"""

import shutil
from pathlib import Path

import pytest

from ppreid import wiring
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.run.folder import BAD_IMAGES, LOG
from ppreid.weights.files import save_weights

EVIL = "\x1b]0;x\x07\x1b[2Jevil"
SHOWN = r"\x1b]0;x\x07\x1b[2Jevil"
CONTROLS = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0))} - {"\n", "\t", "\r"}  # \r: progress bars, CRLF of CSV


@pytest.fixture
def evil(tiny_root, tiny_config, tmp_path):
    """Options of a data set whose names and one of whose cameras are evil; the paths of its folder and its weights."""
    root = tmp_path / "crops"
    for number, path in enumerate(sorted((tiny_root / "demo" / "bounding_box_train").iterdir())):
        camera = EVIL if "_c1" in path.name else "yard"
        (root / camera).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / camera / (f"{EVIL}{number}.jpg" if number % 5 == 0 else path.name))
    for part, name in (("query", "c1"), ("bounding_box_test", "c2")):
        (tmp_path / part).mkdir()
        for path in (tiny_root / "demo" / part).iterdir():
            shutil.copy(path, tmp_path / part / f"{EVIL}_{path.name}" if name in path.name else tmp_path / part)
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
    own = ["data.name=camera_folder", f"data.root={root}", f"data.camera_folder.query={tmp_path / 'query'}"]
    own.append(f"data.camera_folder.gallery={tmp_path / 'bounding_box_test'}")
    options = ["-c", str(tiny_config), *(word for option in own for word in ("-o", option)), "-o", "solver.epochs=1"]
    return options, root, weights


def damage(root):
    """Make one readable image of an evil name unreadable."""
    path = next(path for path in sorted(root.rglob("*.jpg")) if path.name.startswith(EVIL))
    path.write_bytes(b"\x1b[2J no image")


def commands(options, root, weights):
    """Command lines by what they do, in an order in which each finds what it needs."""
    trained = [*options, "-o", f"model.weights={weights}"]
    index, features_file = str(root.parent / "index"), str(root.parent / "f.npy")
    return {
        "doctor": ["doctor", *options],
        "train": ["train", *options],
        "eval": ["eval", *trained],
        "extract": ["extract", *trained, "--part", "train", "--out", features_file],
        "cluster": ["cluster", "--features", features_file, "--out", str(root.parent / "l.csv"), *options],
        "index": ["search", "index", *trained, "--out", index],
        "query": ["search", "query", index, str(root / EVIL), "--top", "3"],
        "other cameras": ["search", "query", index, str(root.parent / "query"), "--camera", EVIL, "--other-cameras"],
        "report": ["report", str(root.parent / "run")],
    }


def check(capsys, folder):
    """Nothing but text on the console and in the files that people look at; gives all of it."""
    out, err = capsys.readouterr()
    files = [path for name in (LOG, BAD_IMAGES, "*.bad_images.txt") for path in folder.rglob(name)]
    texts = [out, err, *(path.read_text(encoding="utf-8") for path in files)]
    for text in texts:
        assert not CONTROLS & set(text), sorted(CONTROLS & set(text))
    return "\n".join(texts)


def test_readable_images_of_evil_names_are_used_and_shown_as_text(evil, capsys, tmp_path):
    options, root, weights = evil
    for name, arguments in commands(options, root, weights).items():
        assert main(arguments) == 0, name
        text = check(capsys, tmp_path)
        if name in ("train", "eval", "query"):
            assert SHOWN in text, name
    assert any(EVIL in line for line in Path(tmp_path / "run" / "labels.csv").read_text().split("\n"))


@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
@pytest.mark.parametrize("name", ["doctor", "train", "eval", "extract", "index"])
def test_damaged_images_of_evil_names_are_named_as_text(evil, name, on_bad_image, capsys, tmp_path):
    options, root, weights = evil
    damage(root)
    damage(tmp_path / "query")
    options = [*options, "-o", f"data.on_bad_image={on_bad_image}"]
    code = main(commands(options, root, weights)[name])
    assert code == (3 if on_bad_image == "error" else 0)
    assert SHOWN in check(capsys, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["extract", "--part", "train", "--out", "x.npy", "-o", f"data.root={EVIL}"],
        ["train", "-o", f"output_dir={EVIL}", "-o", f"data.root={EVIL}"],
        ["train", "-o", f"{EVIL}=1"],
        ["train", "-c", EVIL],
        ["train", "--resume", EVIL],
        ["eval", "-o", f"model.weights={EVIL}"],
        ["doctor", "-o", f"data.root={EVIL}"],
        ["search", "query", EVIL, EVIL],
        ["search", "index", "-c", EVIL, "--out", "x"],
        ["cluster", "--features", EVIL, "--out", "l.csv"],
        ["report", EVIL],
        ["predict", EVIL, EVIL, "--out", "x.npy"],
        ["export", "--to", "fiftyone", "--features", EVIL, "--out", "x"],
        ["convert-weights", EVIL, "x.safetensors"],
        ["weights", "verify", EVIL],
        ["weights", "fetch", EVIL],
        [EVIL],
        ["train", f"--{EVIL}"],
    ],
)
def test_an_evil_argument_comes_back_as_text(arguments, tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments[0] in ("train", "extract", "eval", "doctor") and "-c" not in arguments:
        arguments = [arguments[0], "-c", str(tiny_config), *arguments[1:]]
    try:
        code = main(arguments)
    except SystemExit as stop:  # argparse's own words
        code = stop.code
    assert code != 0
    assert "evil" in check(capsys, tmp_path)
