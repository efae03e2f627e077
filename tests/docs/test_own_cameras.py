"""Training and evaluation on a folder of one's own images."""

import json
import shutil

import numpy as np
import pytest

from ppreid.base.errors import EvaluationError
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import BEST, CAMERAS, LABELS, LAST, METRICS
from ppreid.run.metrics import read_metrics
from ppreid.training import loop
from ppreid.verbs.evaluate import evaluate
from ppreid.verbs.train import train

HEALTH = {"label_stability", "camera_mixing", "cross_camera_clusters"}


@pytest.fixture(scope="session")
def crops(tiny_root, tmp_path_factory):
    """The training images of the tiny data as a folder for each camera; their names do not tell the people."""
    root = tmp_path_factory.mktemp("own") / "crops"
    for number, file in enumerate(sorted((tiny_root / "demo" / "bounding_box_train").iterdir())):
        camera = {"1": "hall", "2": "yard"}[file.name.split("_c")[1][0]]
        (root / camera).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / camera / f"{number:04d}.jpg")
    return root


@pytest.fixture
def own_config(tiny_config, crops):
    """Loads the configuration of a two-epoch run on the folder."""
    overrides = ["data.name=camera_folder", f"data.root={crops}"]
    return lambda *more: load_config(tiny_config, [*overrides, *more])


def epochs_of(run):
    rows = [row for row in read_metrics(run / METRICS) if row["event"] == "epoch"]
    return [{key: row[key] for key in row if key not in ("seconds", "stage_seconds", "peak_memory_gb")} for row in rows]


def test_a_folder_trains_without_labels_and_reports_health(own_config, tmp_path, caplog):
    with caplog.at_level("INFO", "ppreid"):
        assert train(own_config()) == []
    run = tmp_path / "run"
    assert [row["event"] for row in read_metrics(run / METRICS)] == ["epoch", "epoch", "summary"]
    assert read_metrics(run / METRICS)[-1]["last"] is None
    first, second = epochs_of(run)
    assert first["label_stability"] is None and -1 <= second["label_stability"] <= 1
    assert all(0 <= row[key] <= 1 for row in (first, second) for key in ("camera_mixing", "cross_camera_clusters"))
    assert "label_quality" not in first
    assert (run / CAMERAS).read_text() == "camid,name\n0,hall\n1,yard\n"
    assert (run / LAST).exists() and not (run / BEST).exists()
    assert "cameras (images): 1 hall (24), 2 yard (24)" in caplog.text
    assert "nothing was evaluated" in caplog.text and "label stability" in caplog.text


def test_a_resumed_run_has_the_same_health(own_config, tmp_path, monkeypatch):
    train(own_config())
    real, calls = loop.ClusterMemory, []

    def stop_in_second_epoch(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    stopped = own_config(f"output_dir={tmp_path / 'stopped'}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "ClusterMemory", stop_in_second_epoch)
        train(stopped)
    train(stopped, resume=AUTO)
    assert epochs_of(tmp_path / "run") == epochs_of(tmp_path / "stopped")
    one, other = (load_tensors(tmp_path / name / LAST).tensors for name in ("run", "stopped"))
    assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def test_unknown_cameras_train_as_well(own_config, tmp_path):
    train(own_config("data.camera_folder.camera=none", "solver.epochs=1"))
    (row,) = epochs_of(tmp_path / "run")
    assert {row[key] for key in HEALTH} == {None} and row["clusters"] > 0
    assert not (tmp_path / "run" / CAMERAS).exists()


def test_labelled_images_are_evaluated(own_config, tiny_root, tmp_path):
    labelled = tiny_root / "demo"
    keys = [f"data.camera_folder.query={labelled / 'query'}"]
    keys.append(f"data.camera_folder.gallery={labelled / 'bounding_box_test'}")
    history = train(own_config(*keys, "solver.epochs=1"))
    assert [row["epoch"] for row in history] == [0, 1] and history[-1]["valid_queries"] == 8
    result = evaluate(own_config(*keys, f"model.weights={tmp_path / 'run' / BEST}"))
    assert 100 * result.mean_ap == pytest.approx(history[-1]["mAP"])


def test_without_labelled_images_nothing_can_be_measured(own_config):
    with pytest.raises(EvaluationError, match=r"no labelled query and gallery .*label-free health"):
        evaluate(own_config())


def test_the_labels_name_the_images_of_the_folder(own_config, crops, tmp_path):
    train(own_config("solver.epochs=1", "solver.iters=1"))
    lines = (tmp_path / "run" / LABELS).read_text().splitlines()
    assert len(lines) == 49 and lines[1].startswith(f"{crops}/hall/0")
    assert np.unique([line.rpartition(",")[2] for line in lines[1:]]).size > 2


def test_the_doctor_finds_every_bad_file(tiny_config, crops, tmp_path, capsys):
    root = tmp_path / "crops"
    shutil.copytree(crops, root)
    first, second, third, *_ = sorted((root / "hall").iterdir())
    first.write_bytes(first.read_bytes()[:200])
    second.write_bytes(b"")
    third.unlink()
    third.symlink_to(tmp_path / "nowhere.jpg")
    (root / "yard" / "film.mp4").touch()
    options = ["-o", "data.name=camera_folder", "-o", f"data.root={root}"]
    arguments = ["doctor", "-c", str(tiny_config), "--data-only", "--json", str(tmp_path / "findings.json"), *options]
    assert main(arguments) == 3
    findings = json.loads((tmp_path / "findings.json").read_text())["data"]
    (unreadable,) = [finding for finding in findings if finding["level"] == "problem"]
    assert len(unreadable["items"]) == 3 and str(first) in unreadable["items"][0]
    out = capsys.readouterr().out
    assert "cameras (images): 1 hall (24), 2 yard (24)" in out
    assert ".mp4: 1" in out and "there are no queries: training reports label-free health" in out
    assert main([*arguments, "-o", "data.on_bad_image=skip"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["camera=regex"], r"pattern '' has no group (?P<camera>...)"),
        (["camera=regex", "pattern='(?P<camera>c'"], "is no regular expression: missing ), unterminated subpattern at"),
        (["pattern='(?P<camera>c)'"], "pattern is set, but has no effect while camera is folder"),
        (["camera=csv"], "csv names no file"),
        (["query=q"], "query and gallery need each other"),
        (["label_pattern='(?P<pid>1)'"], "has no group (?P<camera>...)"),
        (["camera=flder"], "did you mean 'folder'"),
    ],
)
def test_keys_that_make_no_sense_are_refused(options, message, tiny_config, capsys):
    overrides = [part for option in options for part in ("-o", f"data.camera_folder.{option}")]
    assert main(["train", "-c", str(tiny_config), *overrides]) == 2
    assert message in capsys.readouterr().err


def test_camera_aware_distances_need_cameras(tiny_config, capsys):
    overrides = ["data.name=camera_folder", "data.camera_folder.camera=none", "labels.distance=camera_jaccard"]
    assert main(["train", "-c", str(tiny_config), *(part for key in overrides for part in ("-o", key))]) == 2
    assert "camera_jaccard needs cameras" in capsys.readouterr().err
