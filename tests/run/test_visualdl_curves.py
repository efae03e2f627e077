import sys
import tempfile

import pytest

from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.run import keeper
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.curves import scalars
from ppreid.run.folder import METRICS
from ppreid.run.metrics import CURVES, MetricsFile, read_metrics
from ppreid.verbs.train import train


@pytest.fixture
def log_reader():
    return pytest.importorskip("visualdl", reason="visualdl is not installed").LogReader


def curves(path, log_reader):
    """{tag: [(step, value)]} of a VisualDL log."""
    reader = log_reader(file_path=str(path))
    tags = reader.get_tags()["scalar"]
    return {tag: [(point.id, point.value) for point in reader.get_data("scalar", tag)] for tag in tags}


def test_numbers_of_a_row_and_of_its_sections_are_curves():
    row = {"event": "epoch", "epoch": 3, "seconds": 9.0, "loss": 0.5, "label_stability": None, "stage": {"train": 2}}
    assert list(scalars(row)) == [("epoch/loss", 0.5), ("stage/train", 2.0)]
    assert list(scalars({"event": "summary", "seconds": 9.0, "last": {"epoch": 3, "mAP": 1.0}})) == []


def test_the_log_is_in_step_with_every_line(tmp_path, log_reader, capfd):
    metrics = MetricsFile(tmp_path / METRICS, viewers=["visualdl"])
    metrics.write("epoch", epoch=1, loss=0.5, seconds_of={"train": 1.5})
    before = (tmp_path / CURVES).read_bytes()
    assert curves(tmp_path / CURVES, log_reader) == {"epoch/loss": [(1, 0.5)], "seconds_of/train": [(1, 1.5)]}
    metrics.write("epoch", epoch=2, loss=0.25)
    assert curves(tmp_path / CURVES, log_reader)["epoch/loss"] == [(1, 0.5), (2, 0.25)]
    assert len((tmp_path / CURVES).read_bytes()) > len(before)
    assert capfd.readouterr().out == ""


def test_what_a_killed_run_left_is_removed_with_the_next_line(tmp_path, monkeypatch, log_reader):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    left = tmp_path / "temporary" / ".ppreid.0.tmp"
    left.mkdir(parents=True, mode=0o700)
    (left / CURVES).write_text("half")
    MetricsFile(tmp_path / METRICS, viewers=["visualdl"]).write("epoch", epoch=1, loss=0.5)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_resumed_run_has_every_point_once(tiny_config, tmp_path, monkeypatch, log_reader):
    cfg = load_config(tiny_config, ["log.visualdl=true", "solver.epochs=3", "solver.iters=1"])
    real, calls = keeper.write_labels, []

    def stop_in_third_epoch(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(keeper, "write_labels", stop_in_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(cfg)
    monkeypatch.setattr(keeper, "write_labels", real)
    train(cfg, resume=AUTO)
    run = tmp_path / "run"
    found = curves(run / CURVES, log_reader)
    rows = read_metrics(run / METRICS)
    for event, key in (("epoch", "loss"), ("epoch", "lr"), ("epoch", "outliers"), ("evaluation", "mAP")):
        expected = [(row["epoch"], pytest.approx(row[key])) for row in rows if row["event"] == event]
        assert found[f"{event}/{key}"] == expected
    assert [step for step, _ in found["evaluation/mAP"]] == [0, 1, 2, 3]
    assert {"stage_seconds/train", "label_quality/ari", "epoch/pli_degree", "evaluation/Rank-1"} <= found.keys()


def test_a_missing_package_is_said_before_the_run_starts(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "visualdl", None)  # as if it were not installed
    with pytest.raises(
        ConfigError, match=r"log\.visualdl needs visualdl, which cannot be imported .* pip install 'visualdl"
    ):
        train(load_config(tiny_config, ["log.visualdl=true"]))
    assert not (tmp_path / "run").exists()


def test_no_log_unless_it_is_asked_for(tmp_path):
    MetricsFile(tmp_path / METRICS).write("epoch", epoch=1)
    assert not (tmp_path / CURVES).exists()
