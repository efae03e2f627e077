"""The numbers of a run for TensorBoard and for Weights & Biases; for VisualDL see test_visualdl_curves.py."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboardX.proto.event_pb2 import Event

from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.run.curves import VIEWERS
from ppreid.run.metrics import CURVE_FILES, EVENTS, MetricsFile, read_metrics
from ppreid.verbs.train import train


def points(path):
    """{tag: [(step, value, seconds)]} of an event file: records of length, checksum, event, checksum."""
    content, place, found = path.read_bytes(), 0, {}
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        event = Event.FromString(content[place + 12 : place + 12 + length])
        place += 16 + length
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value, event.wall_time))
    return found


class StandIn:
    """In the place of wandb: what it was told."""

    def __init__(self):
        self.settings, self.runs = {}, []

    def Settings(self, **settings):  # noqa: N802 - its name there
        self.settings = settings
        return settings

    def init(self, **options):
        run = SimpleNamespace(options=options, logged=[], finished=False)
        run.log = lambda values, step: run.logged.append((step, values))
        run.finish = lambda: setattr(run, "finished", True)
        folder = Path(options["settings"]["root_dir"], "wandb", f"offline-run-{len(self.runs)}")
        folder.mkdir(parents=True)
        self.runs.append(run)
        return run


@pytest.fixture
def wandb(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def test_tensorboard_has_every_number_of_a_run_once_and_nothing_of_the_host(tiny_config, tmp_path):
    train(load_config(tiny_config, ["log.tensorboard=true", "solver.iters=1"]))
    found, rows = points(tmp_path / "run" / EVENTS), read_metrics(tmp_path / "run" / "metrics.jsonl")
    for event, key in (("epoch", "loss"), ("epoch", "clusters"), ("evaluation", "mAP")):
        expected = [(row["epoch"], row[key], row["seconds"]) for row in rows if row["event"] == event]
        assert [pytest.approx(point, rel=1e-6) for point in expected] == found[f"{event}/{key}"]
    assert {"stage_seconds/train", "label_quality/ari"} <= found.keys()
    assert not [path for path in (tmp_path / "run").iterdir() if "tfevents" in path.name and path.name != EVENTS]


def test_wandb_gets_the_run_offline_when_it_is_done(wandb, tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", viewers=["wandb"])
    metrics.write("evaluation", epoch=0, mAP=5.0)
    metrics.write("epoch", epoch=1, loss=0.5, stage_seconds={"train": 1.5})
    assert not wandb.runs
    metrics.write("summary", last=None, best=None)
    (run,) = wandb.runs
    assert run.logged == [
        (0, {"evaluation/mAP": 5.0}),
        (1, {"epoch/loss": 0.5, "stage_seconds/train": 1.5}),
        (None, {}),
    ]
    assert run.finished and run.options["name"] == tmp_path.name
    assert wandb.settings["mode"] == "offline" and wandb.settings["root_dir"] == str(tmp_path)
    private = ("x_disable_stats", "x_disable_meta", "disable_git")
    assert all(wandb.settings[name] for name in private) and not wandb.settings["save_code"]
    metrics.write("summary", last=None, best=None)  # of a run that went on: its log takes the place of the earlier one
    assert [path.name for path in (tmp_path / "wandb").iterdir()] == ["offline-run-1"]


def test_a_log_that_wandb_cannot_write_does_not_end_the_run(wandb, tmp_path, monkeypatch):
    def init(**options):
        raise RuntimeError("the service did not start")

    monkeypatch.setattr(wandb, "init", init)
    metrics = MetricsFile(tmp_path / "metrics.jsonl", viewers=["wandb"])
    with pytest.warns(PpreidWarning, match=r"no log for W&B: the service did not start; .* metrics\.jsonl"):
        metrics.write("summary", last=None, best=None)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


@pytest.mark.parametrize("name", VIEWERS)
def test_a_missing_package_is_said_before_the_run_starts(name, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, VIEWERS[name].module, None)  # as if it were not installed
    with pytest.raises(ConfigError, match=rf"log\.{name} needs {VIEWERS[name].module}, .* pip install '"):
        train(load_config(tiny_config, [f"log.{name}=true"]))
    assert not (tmp_path / "run").exists()


def test_a_run_that_replaces_another_has_logs_of_its_own_only(wandb, tiny_config, tmp_path):
    every = [part for name in ("tensorboard", "wandb") for part in ("-o", f"log.{name}=true")]
    short = ["train", "-c", str(tiny_config), "-o", "solver.epochs=1", "-o", "solver.iters=1"]
    assert main([*short, *every]) == 0
    made = {path.name for path in (tmp_path / "run").iterdir()} & set(CURVE_FILES)
    assert made == {EVENTS, "wandb"}
    assert main([*short, "--overwrite"]) == 0
    assert not {path.name for path in (tmp_path / "run").iterdir()} & set(CURVE_FILES)
