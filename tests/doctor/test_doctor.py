import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ppreid.cli import main
from ppreid.datasets.folder_layout import BOUNDING_BOX_LAYOUT
from ppreid.datasets.msmt17 import LIST_FILES
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
    assert checks == {"packages", "processor", "cores", "device", "memory", "disk", "weights", "run time"}
    assert "80 of 80 images can be decoded" in out
    assert "train                      6                 48                  2" in out
    assert out.splitlines()[-1].startswith("summary: ")
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


def write_market(root):
    """A data set in which one image cannot be read and the name of another says nothing."""
    make_images(root, *(f"{part}/000{pid}_c{pid}.jpg" for part in BOUNDING_BOX_LAYOUT for pid in (1, 2)))
    (root / "query" / "0001_c2.jpg").write_bytes(b"")
    (root / "bounding_box_test" / "somebody.jpg").touch()
    return ["-o", "data.name=market1501", "-o", f"data.root={root}"], ["1 entries of", "somebody.jpg"]


def write_msmt17(root):
    for part in ("train", "test"):
        make_images(root, f"{part}/0/0000_000_01_{part}.jpg", f"{part}/0/0000_000_02_{part}.jpg")
    for name in LIST_FILES:
        part = "train" if name in LIST_FILES[:2] else "test"
        (root / name).write_text(f"0/0000_000_0{1 + ('val' in name or 'query' in name)}_{part}.jpg 0\n")
    (root / "train" / "0" / "0000_000_01_train.jpg").write_bytes(b"")
    for name in ("list_val.txt", "list_gallery.txt"):
        with open(root / name, "a") as file:
            file.write("nobody\n")
    return ["-o", "data.name=msmt17", "-o", f"data.root={root}"], ["list_val.txt", "list_gallery.txt"]


def write_own_folder(root):
    make_images(
        root, "crops/hall/1.jpg", "crops/yard/2.jpg", "q/0001_c1.jpg", "q/odd.jpg", "g/0001_c2.jpg", "g/even.jpg"
    )
    make_images(root, "crops/3.jpg")
    (root / "crops" / "hall" / "1.jpg").write_bytes(b"")
    own = [f"data.root={root / 'crops'}", f"data.camera_folder.query={root / 'q'}"]
    own.append(f"data.camera_folder.gallery={root / 'g'}")
    options = [word for option in ["data.name=camera_folder", *own] for word in ("-o", option)]
    return options, ["'3.jpg'", "'odd.jpg'", "'even.jpg'"]


def write_own_table(root):
    make_images(root, "1.jpg", "2.jpg", "3.jpg")
    (root / "1.jpg").write_bytes(b"")
    (root / "c.csv").write_text("path,camera\n1.jpg,a\n2.jpg\n3.jpg,b\n,b\n3.jpg,a\n")
    own = ["data.name=camera_folder", f"data.root={root}", "data.camera_folder.camera=csv"]
    options = [word for option in [*own, f"data.camera_folder.csv={root / 'c.csv'}"] for word in ("-o", option)]
    return options, ["c.csv:3: 1 fields", "c.csv:5: the path is empty", "c.csv:6: 3.jpg is listed twice"]


@pytest.mark.parametrize("write", [write_market, write_msmt17, write_own_folder, write_own_table])
def test_what_cannot_be_read_of_a_data_set_does_not_hide_the_rest(write, tiny_config, tmp_path):
    options, problems = write(tmp_path / "set")
    code, report = run(["doctor", "-c", str(tiny_config), "--data-only", *options], tmp_path)
    assert code == 3
    found = "\n".join(finding["text"] for finding in report["data"] if finding["check"] == "data set")
    assert all(problem in found for problem in problems)
    unreadable = next(finding for finding in report["data"] if finding["check"] == "images")
    assert (unreadable["level"], len(unreadable["items"])) == ("problem", 1)
    assert {finding["check"] for finding in report["data"]} >= {"cameras", "crops", "duplicates", "near-duplicates"}
    assert main(["train", "-c", str(tiny_config), *options]) == 3


def make_images(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def test_everything_that_spoils_a_run_on_frames_of_a_video_is_named(tiny_config, tmp_path):
    """Frames among crops, the same moment again and again, and cameras under another name."""
    rng, root = np.random.default_rng(0), tmp_path / "set"
    (root / "crops" / "cam1").mkdir(parents=True)
    scene = rng.integers(0, 256, (64, 32, 3)).astype(np.float32)
    for frame in range(30):
        pixels = np.clip(scene + rng.normal(0, 9, scene.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "crops" / "cam1" / f"{frame}.png")
    Image.new("RGB", (1280, 720)).save(root / "crops" / "cam1" / "whole.png")
    make_images(root, "q/0001_c1.jpg", "g/0001_c2.jpg")
    own = [f"data.root={root / 'crops'}", f"data.camera_folder.query={root / 'q'}"]
    own += [f"data.camera_folder.gallery={root / 'g'}", "data.name=camera_folder"]
    options = [word for option in own for word in ("-o", option)]
    code, report = run(["doctor", "-c", str(tiny_config), "--data-only", *options], tmp_path)
    assert code == 0
    warnings = {finding["check"]: finding for finding in report["data"] if finding["level"] == "warning"}
    assert warnings["crops"]["items"] == [f"{root / 'crops' / 'cam1' / 'whole.png'} (1280 x 720)"]
    assert "97 % of 31 training images are almost equal" in warnings["near-duplicates"]["text"]
    assert warnings["cameras"]["items"] == ["c1", "c2"]


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
