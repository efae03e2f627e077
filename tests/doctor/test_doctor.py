import json
import shutil

import pytest

from ppreid.cli import main
from ppreid.weights import match


@pytest.fixture
def broken_config(tiny_root, tiny_config, tmp_path):
    """A configuration on a copy of the tiny data, its folder, and -o options."""
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    return ["doctor", "-c", str(tiny_config), "-o", f"data.root={root}"], root / "demo"


def run(arguments, tmp_path):
    """Exit code, and level and text of every finding by check."""
    code = main([*arguments, "--json", str(tmp_path / "findings.json")])
    report = json.loads((tmp_path / "findings.json").read_text())
    return code, report


def levels(report, part, check):
    return [finding["level"] for finding in report[part] if finding["check"] == check]


def test_a_healthy_configuration_has_no_problem_and_nothing_is_written(tiny_config, tmp_path, capsys):
    code, report = run(["doctor", "-c", str(tiny_config)], tmp_path)
    out = capsys.readouterr().out
    assert code == 0
    assert report["counts"]["problem"] == 0
    checks = {finding["check"] for finding in report["environment"]}
    assert checks == {"packages", "processor", "cores", "device", "memory", "disk", "weights"}
    assert "80 of 80 images can be decoded" in out
    assert "train                      6                 48                  2" in out
    assert out.splitlines()[-2].startswith("summary: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["findings.json", "tiny.yaml"]


@pytest.mark.parametrize(("option", "empty"), [("--data-only", "environment"), ("--environment-only", "data")])
def test_one_half_can_be_checked_alone(tiny_config, tmp_path, option, empty):
    code, report = run(["doctor", "-c", str(tiny_config), option], tmp_path)
    assert code == 0
    assert report[empty] == []
    assert sum(report["counts"].values()) > 5


def test_every_fault_of_the_data_is_found_in_one_run(broken_config, tmp_path, capsys):
    arguments, demo = broken_config
    folders = ("bounding_box_train", "query", "bounding_box_test")
    train, query, gallery = (sorted((demo / name).iterdir()) for name in folders)
    train[0].write_bytes(train[0].read_bytes()[:300])
    shutil.copy(query[0], train[1])
    shutil.copy(gallery[0], gallery[1])
    shutil.copy(train[2], demo / "bounding_box_test" / train[2].name)
    lonely = demo / "query" / "0099_c1s1_000000_00.jpg"
    query[1].rename(lonely)
    code, report = run([*arguments, "--data-only"], tmp_path)
    assert code == 3
    assert "error: the data set has problems" in capsys.readouterr().err
    assert levels(report, "data", "images")[0] == "problem"
    assert levels(report, "data", "duplicates") == ["problem", "warning"]
    assert levels(report, "data", "queries") == levels(report, "data", "names") == ["warning"]
    items = {finding["check"]: finding["items"] for finding in report["data"] if finding["level"] == "warning"}
    assert items["queries"] == [str(lonely)]
    leaks = next(finding["items"] for finding in report["data"] if "training part and in" in finding["text"])
    copy = demo / "bounding_box_test" / train[2].name
    assert set(leaks) == {f"{train[1]} = {query[0]}", f"{train[2]} = {copy}"}


def test_unreadable_images_that_are_skipped_do_not_fail(broken_config, tmp_path):
    arguments, demo = broken_config
    next((demo / "query").iterdir()).write_bytes(b"")
    code, report = run([*arguments, "--data-only", "-o", "data.on_bad_image=skip"], tmp_path)
    assert code == 0
    assert levels(report, "data", "images")[0] == "warning"


def test_a_missing_data_set_is_a_finding_beside_the_others(tiny_config, tmp_path, capsys):
    code, report = run(["doctor", "-c", str(tiny_config), "-o", f"data.root={tmp_path / 'nowhere'}"], tmp_path)
    assert code == 3
    assert levels(report, "data", "data set") == ["problem"]
    assert "nowhere does not exist" in capsys.readouterr().out
    assert levels(report, "environment", "weights") == ["ok"]


def test_counts_that_differ_from_the_published_ones_are_warnings(tiny_config, tiny_root, tmp_path):
    options = ["-o", "data.name=market1501", "-o", f"data.root={tiny_root / 'demo'}"]
    code, report = run(["doctor", "-c", str(tiny_config), "--data-only", *options], tmp_path)
    assert code == 0
    assert levels(report, "data", "data set") == ["ok", "warning", "warning", "warning"]


def test_weights_that_do_not_fit_are_a_problem_of_the_environment(tiny_config, tmp_path, capsys):
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    arguments = ["doctor", "-c", str(tiny_config), "--environment-only", "-o"]
    code, report = run([*arguments, f"model.weights={tmp_path / 'w.safetensors'}"], tmp_path)
    assert code == 1
    assert levels(report, "environment", "weights") == ["problem"]
    assert "error: the environment has problems" in capsys.readouterr().err
    code, _ = run([*arguments, f"model.weights={tmp_path / 'gone.safetensors'}"], tmp_path)
    assert code == 1


def test_mixed_precision_that_the_device_cannot_do_is_found_before_the_run(tiny_config, tmp_path):
    code, report = run(["doctor", "-c", str(tiny_config), "--environment-only", "-o", "amp.level=O1"], tmp_path)
    assert code == 1
    assert levels(report, "environment", "mixed precision") == ["problem"]


def test_imagenet_weights_are_not_downloaded(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(match, "imagenet_cache", lambda backbone: tmp_path / f"{backbone}.pdparams")
    options = ["-o", "model.weights=imagenet", "-o", "model.base_width=64"]
    code, report = run(["doctor", "-c", str(tiny_config), "--environment-only", *options], tmp_path)
    weights = next(finding for finding in report["environment"] if finding["check"] == "weights")
    assert code == 0
    assert weights["level"] == "warning"
    assert str(tmp_path / "resnet18.pdparams") in weights["advice"]


def test_a_configuration_for_evaluation_needs_trained_weights_and_no_room_for_checkpoints(tmp_path, tiny_root):
    path = tmp_path / "eval.yaml"
    path.write_text(f"task: evaluate\ndata: {{name: demo, root: {tiny_root}, num_workers: 0}}\n")
    code, report = run(["doctor", "-c", str(path)], tmp_path)
    assert code == 1
    assert levels(report, "environment", "weights") == ["problem"]
    assert "0.0 MB for checkpoints" in next(f["text"] for f in report["environment"] if f["check"] == "disk")


def test_a_broken_package_is_reported_before_it_is_needed(tiny_config, tmp_path, monkeypatch, capsys):
    from ppreid.doctor.findings import problem
    from ppreid.verbs import doctor

    monkeypatch.setattr(doctor, "check_packages", lambda: [problem("packages", "faiss is broken", "install it")])
    code, report = run(["doctor", "-c", str(tiny_config)], tmp_path)
    assert code == 1
    assert report["counts"]["problem"] == 1
    assert "nothing else was checked" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_an_error(tiny_config, tmp_path, capsys):
    options = ["--environment-only", "--json", str(tmp_path / "no" / "f.json")]
    assert main(["doctor", "-c", str(tiny_config), *options]) == 8
    assert "f.json cannot be written" in capsys.readouterr().err
