"""configs/scratch.yaml, on the tiny drawn people, whose names tell tracks."""

import json

import pytest

from ppreid.config.load import load_config
from ppreid.verbs.train import train


@pytest.mark.filterwarnings("ignore:.*cameras have fewer")
def test_two_steps_of_it_are_trained_evaluated_and_reported(tiny_root, tmp_path):
    overrides = ["data.name=demo", f"data.root={tiny_root}", "data.num_workers=0", f"output_dir={tmp_path}"]
    overrides += [
        "batch.identities=4",
        "model.base_width=4",
        "data.height=32",
        "data.width=16",
        "augment.pad=1",
        "report.enabled=false",
    ]
    cfg = load_config("scratch.yaml", [*overrides, "solver.epochs=2", "solver.iters=1", "labels.start.epochs=1"])
    history = train(cfg)
    assert [row["epoch"] for row in history] == [0, 2]
    assert {"mAP", "network alone: mAP"} <= set(history[-1]) and "colour, centred: mAP" in history[0]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows if row["event"] == "epoch"] == [48, 48]
