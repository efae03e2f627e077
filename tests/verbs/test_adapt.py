"""ppreid adapt: a run, other images, the last stage; what comes out is a run of the whole network."""

import json

import numpy as np
import pytest

from ppreid.base.errors import WeightsError
from ppreid.cli import main
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint import read_checkpoint


@pytest.fixture
def run(tiny_config, tmp_path):
    """A run of one epoch."""
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1"]) == 0
    return tmp_path / "run"


def weights(file):
    found = load_tensors(file).tensors
    return {name: array for name, array in found.items() if not name.startswith(("optimizer.", "running.", "labels"))}


def test_the_last_stage_of_a_run_is_trained_and_eval_takes_the_whole(run, capsys):
    assert main(["adapt", str(run), "-o", "report.enabled=true"]) == 0
    assert "frozen stages: 48 images" in capsys.readouterr().err
    adapted = run.with_name("run-adapted")
    before = weights(run / "checkpoint_best.safetensors")
    after = weights(adapted / "checkpoint_last.safetensors")
    assert before.keys() == after.keys()
    moved = {name for name, array in before.items() if array.tobytes() != after[name].tobytes()}
    trained = {name for name in before if ".layer4." in name or ".neck." in name}
    still = {name for name in before if name.endswith("neck.bias")}
    assert moved == trained - still and len(moved) > 20
    assert read_checkpoint(adapted / "checkpoint_last.safetensors").config["model"]["frozen_stages"] == 3
    assert (adapted / "report.html").is_file()
    rows = [json.loads(line) for line in (adapted / "metrics.jsonl").read_text().splitlines()]
    last = [row["mAP"] for row in rows if row.get("event") == "evaluation"][-1]
    assert main(["eval", str(adapted), "--last"]) == 0
    results = json.loads((adapted / "results.json").read_text())
    assert 100 * results["results"]["mean_ap"] == pytest.approx(last, abs=1e-6)


def test_other_images_another_place_and_going_on(run, tmp_path):
    there = tmp_path / "mine"
    options = ["-o", f"output_dir={there}", "-o", "model.frozen_stages=2", "-o", "augment.flip=0"]
    assert main(["adapt", str(run), *options]) == 0
    assert not run.with_name("run-adapted").exists() and len(list(there.glob("maps_*.npy"))) == 1
    assert np.load(next(there.glob("maps_*.npy"))).shape == (48, 16 * 4 * 2)
    assert main(["adapt", str(run), *options]) == 2  # a run is there
    assert main(["adapt", "--resume", str(there)]) == 0
    assert main(["train", "--resume", str(there)]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "which network is to adapt"),
        (["--resume"], 2, "which network is to adapt"),
        (["-c", "tiny.yaml"], 2, "stages with random weights would stay random"),
        (["nowhere"], 2, "nowhere"),
        (["-c", "tiny.yaml", "-o", "model.weights=nowhere.safetensors"], WeightsError.exit_code, "nowhere.safetensors"),
        (["-c", "tiny.yaml", "-o", "model.backbone=osnet"], 2, "of which model.backbone osnet knows nothing"),
    ],
)
def test_what_cannot_be_adapted(arguments, code, text, tiny_config, monkeypatch, capsys):
    monkeypatch.chdir(tiny_config.parent)
    assert main(["adapt", *arguments]) == code
    assert text in capsys.readouterr().err
