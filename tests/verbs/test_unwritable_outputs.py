"""Every command that writes, given a place that cannot be written: one message, exit code 8, and nothing is lost."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from ppreid.base.errors import WriteError
from ppreid.cli import VERBS, main

BAD = "BAD"  # stands for the place
DEMO = "--train-identities 2 --test-identities 2 --cameras 2 --distractors 0 --height 32 --width 16"
TINY = "-c tiny.yaml -o eval.engine=eager -o model.weights=net.safetensors"
# a command, and the suffix of what it writes; "/" for a folder, with the name of a file in it that is written first
WRITES = {
    "train output_dir": ("train -c tiny.yaml -o output_dir=BAD", "/"),
    "adapt output_dir": (f"adapt {TINY} -o output_dir=BAD", "/"),
    "ablate --out": ("ablate -c tiny.yaml --rows ise --seeds 1 --out BAD", "/"),
    "ablate --csv": ("ablate -c tiny.yaml --rows ise --seeds 1 --out fresh --csv BAD", ".csv"),
    "ablate --latex": ("ablate -c tiny.yaml --rows ise --seeds 1 --out fresh --latex BAD", ".tex"),
    "eval output_dir": (f"eval {TINY} -o output_dir=BAD", "/"),
    "extract --out": (f"extract {TINY} --part query --out BAD", ".npy"),
    "export --out": (f"export {TINY} --formats paddle --out BAD", "/"),
    "export --for": (f"export {TINY} --for boxmot --out BAD", ".onnx"),
    "export --to fiftyone --out": ("export --to fiftyone --features images.npy --out BAD", "/"),
    "predict --out": ("predict net person.png --runtime paddle --out BAD", ".npy"),
    "search index --out": (f"search index {TINY} --out BAD", "/"),
    "search query --json": ("search query index person.png --json BAD", ".json"),
    "search query --csv": ("search query index person.png --csv BAD", ".csv"),
    "search query --contact-sheet": ("search query index person.png --contact-sheet BAD", ".png"),
    "cluster --out": ("cluster --features f.npy --out BAD", ".csv"),
    "cluster --work": ("cluster --features f.npy --shard 1/1 --work BAD", "/"),
    "cluster output_dir": ("cluster --features f.npy -o output_dir=BAD", "/"),
    "convert-weights OUT": ("convert-weights net.safetensors BAD -c tiny.yaml", ".safetensors"),
    "weights fetch --out": ("weights fetch ISE_M_model.pdparams --out BAD", ".pdparams"),
    "report --out": ("report run --no-images --out BAD", ".html"),
    "doctor --json": ("doctor -c tiny.yaml --data-only --json BAD", ".json"),
    "crops --out": ("crops images/hall --out BAD", "/"),
    "crops --sheet": ("crops images/hall --out fresh --sheet BAD", ".png"),
    "make-demo-data --recordings": ("make-demo-data --recordings BAD", "/"),
    "make-demo-data --out": (f"make-demo-data {DEMO} --out BAD", "/"),
    "make-demo-data --unlabelled": (f"make-demo-data {DEMO} --out demo --unlabelled BAD", "/"),
    "make-demo-data --sheet": (f"make-demo-data {DEMO} --out demo --sheet BAD", ".png"),
}
every_row = pytest.mark.parametrize(("command", "suffix"), WRITES.values(), ids=WRITES)


def test_the_table_has_every_command_that_writes():
    assert {name.split()[0] for name in WRITES} == set(VERBS) - {"config"}


def assert_refused(command, path, reason, capsys):
    code = main([word.replace(BAD, str(path)) for word in command.split()])
    error = capsys.readouterr().err
    assert code == WriteError.exit_code, error
    assert "Traceback" not in error
    assert str(path)[:200] in error and os.strerror(reason) in error, error


@every_row
def test_places_that_cannot_be(command, suffix, everything, images_npy, capsys):
    suffix = suffix.strip("/")
    Path("round").symlink_to("round")
    Path(f"circle{suffix}").symlink_to(f"circle{suffix}")
    places = [
        (f"person.png/inner{suffix}", errno.ENOTDIR),
        ("x" * 300 + suffix, errno.ENAMETOOLONG),
        (f"round/inner{suffix}", errno.ELOOP),
        (f"circle{suffix}", errno.ELOOP),
    ]
    if suffix:  # a name that the system allows, and that leaves no room for the one of a temporary file
        places.append(("x" * (255 - len(suffix)) + suffix, errno.ENAMETOOLONG))
    for path, reason in places:
        assert_refused(command, path, reason, capsys)


@every_row
def test_places_that_may_not_be_written(command, suffix, everything, images_npy, like_anybody, capsys):
    locked = Path("read_only")
    locked.mkdir(exist_ok=True)
    locked.chmod(0o555)
    with like_anybody():
        assert_refused(command, locked / f"inner{suffix.strip('/')}", errno.EACCES, capsys)
        if suffix == "/" and not command.startswith("make-demo-data"):  # which draws beside the folder
            assert_refused(command, locked, errno.EACCES, capsys)
    assert not list(locked.iterdir())


@pytest.fixture
def images_npy():
    """Features of an image that is there, in the folder in which the test is."""
    Path("images.csv").write_text("path,pid,camid\nperson.png,1,0\n")
    np.save("images.npy", np.eye(1, 16, dtype=np.float32))
