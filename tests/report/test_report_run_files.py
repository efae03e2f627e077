import json

import pytest

from ppreid.base.errors import DataError
from ppreid.report.run_files import FINISHED, RUNNING, STOPPED, number, read_run, same_images, series
from ppreid.run.folder import CAMERAS, CONFIG, ENVIRONMENT, LABELS, METRICS


@pytest.fixture
def folder(tmp_path):
    (tmp_path / CONFIG).write_text("solver: {epochs: 3}\n")
    rows = [{"event": "evaluation", "epoch": 0, "mAP": 7.5}, {"event": "epoch", "epoch": 1, "clusters": 4}]
    (tmp_path / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / LABELS).write_text('path,cluster\na.jpg,0\n"b,1.jpg",-1\n')
    (tmp_path / CAMERAS).write_text("camid,name\n0,front door\n")
    (tmp_path / ENVIRONMENT).write_text('{"paddle": "3"}')
    return tmp_path


def test_what_a_folder_says(folder):
    run = read_run(folder, is_running=False)
    assert (run.name, run.state, run.environment) == (folder.name, STOPPED, {"paddle": "3"})
    assert run.config == {"solver": {"epochs": 3}}
    assert [row["epoch"] for row in run.epochs] == [1]
    assert [row["mAP"] for row in run.evaluations] == [7.5]
    assert run.labels.names == ["a.jpg", "b,1.jpg"]
    assert run.labels.labels.tolist() == [0, -1]
    assert run.cameras == {0: "front door"}


def test_states(folder):
    assert read_run(folder, is_running=True).state == RUNNING
    with open(folder / METRICS, "a") as file:
        file.write('{"event": "summary"}\n{"event": "epo')
    assert read_run(folder, is_running=False).state == FINISHED


def test_a_run_that_has_just_begun(tmp_path):
    (tmp_path / CONFIG).write_text("seed: 1\n")
    run = read_run(tmp_path, is_running=True)
    assert (run.epochs, run.evaluations, run.labels, run.environment) == ([], [], None, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (CONFIG, "a: [1"),
        (CONFIG, "just text"),
        (METRICS, "no json\n"),
        (METRICS, "[1, 2]\n"),
        (METRICS, '{"event": "epoch"}\n'),
        (METRICS, '{"event": "epoch", "epoch": "<b>"}\n'),
        (LABELS, "path,cluster\na.jpg\n"),
        (LABELS, "path,cluster\na.jpg,x\n"),
        (CAMERAS, "camid,name\nx,y\n"),
        (ENVIRONMENT, "[]"),
        (ENVIRONMENT, "{"),
    ],
)
def test_a_damaged_file_is_named(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=name):
        read_run(folder, is_running=False)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="not the folder of a training run"):
        read_run(tmp_path, is_running=False)


def test_numbers_are_finite_numbers():
    assert [number(value) for value in (1, 2.5)] == [1, 2.5]
    assert not any(number(value) for value in (None, "3", True, float("nan"), float("inf"), [1]))
    rows = [{"epoch": 1, "a": {"b": 2}}, {"epoch": 2, "a": 3}, {"epoch": 3}]
    assert series(rows, "a", "b") == [(1, 2), (2, None), (3, None)]
    assert series(rows, "a") == [(1, None), (2, 3), (3, None)]


def test_images_may_have_moved():
    assert same_images(["/old/a.jpg", "/old/b.jpg"], ["/new/a.jpg", "/new/b.jpg"])
    assert not same_images(["/old/a.jpg"], ["/new/a.jpg", "/new/b.jpg"])
    assert not same_images(["/old/a.jpg"], ["/old/b.jpg"])
