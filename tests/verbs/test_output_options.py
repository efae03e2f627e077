"""Every option that names a file, and every file that a command writes without being asked: what it may replace.

What the names themselves mean (pipes, links, inputs) is in tests/disk/test_outputs.py and test_streams.py; this goes
through the commands.
"""

import csv
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from ppreid import wiring
from ppreid.cli import main, parser
from ppreid.config.load import load_config
from ppreid.disk import outputs
from ppreid.disk.outputs import OutputKind
from ppreid.weights.files import save_weights

DEMO = ["--train-identities", "2", "--test-identities", "2", "--cameras", "2", "--distractors", "0", "--height", "32"]
DEMO += ["--width", "16"]
QUERY = ["search", "query", "index", "person.png", "-o", "device=cpu"]


class Row(NamedTuple):
    """An option: a command without it, its name, what it writes, and files of its suffix that the command reads."""

    command: list[str]
    option: str
    kind: OutputKind
    inputs: tuple[str, ...] = ()


OPTIONS = {
    "cluster --out": Row(["cluster", "--features", "f.npy"], "--out", outputs.LABELS_CSV, ("f.csv",)),
    "search --json": Row(QUERY, "--json", outputs.MATCHES_JSON, ("index/index.json",)),
    "search --csv": Row(QUERY, "--csv", outputs.MATCHES_CSV, ("index/part_0000.csv",)),
    "search --contact-sheet": Row(QUERY, "--contact-sheet", outputs.SHEET, ("person.png",)),
    "report --out": Row(["report", "run", "--no-images"], "--out", outputs.REPORT),
    "doctor --json": Row(["doctor", "--data-only", "-c", "tiny.yaml"], "--json", outputs.FINDINGS_JSON),
    "make-demo-data --sheet": Row(["make-demo-data", "--out", "demo", *DEMO], "--sheet", outputs.SHEET),
}
"""Options that take a file to write, in commands whose files are not written at once (see below)."""
IN_PARTS = {"extract --out", "predict --out"}
FOLDERS = {"ablate --out", "export --out", "search index --out", "make-demo-data --out", "make-demo-data --unlabelled"}
FOLDERS |= {"make-demo-data --recordings", "crops --out", "cluster --work"}
# their commands make folders, and so are not given twice: tests/recordings, test_ablation_compared.py
ELSEWHERE = {"crops --sheet", "ablate --csv", "ablate --latex"}
ELSEWHERE |= {"weights fetch --out"}  # tests/weights/test_fetch.py
READ = {"--config", "--plugin", "--images", "--features", "--labels", "--resume", "--boxes"}


def contents(folder):
    """Every file of a folder with its contents; links as where they lead."""
    files = [file for file in Path(folder).rglob("*") if file.is_symlink() or file.is_file()]
    return {str(file): os.readlink(file) if file.is_symlink() else file.read_bytes() for file in files}


every_option = pytest.mark.parametrize("row", OPTIONS.values(), ids=OPTIONS)


def run(row, name, *more):
    return main([*row.command, row.option, str(name), *more])


@every_option
def test_a_new_file_appears_and_the_same_command_may_replace_it(row, workshop):
    name = f"new{row.kind.suffixes[0]}"
    for _ in range(2):
        assert run(row, name) == 0
        assert row.kind.begins.match(Path(name).read_bytes())
    assert not list(workshop.glob(".*.tmp"))


@every_option
def test_a_file_of_somebody_else_is_replaced_only_when_asked_to(row, workshop, capsys):
    name = f"mine{row.kind.suffixes[0]}"
    Path(name).write_text("mine")
    before = contents(".")
    assert run(row, name) == 2
    assert f"{row.option} {name} exists and is not {row.kind.what}; pass --overwrite" in capsys.readouterr().err
    assert contents(".") == before
    assert run(row, name, "--overwrite") == 0
    assert row.kind.begins.match(Path(name).read_bytes())


@every_option
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_what_a_command_reads_is_never_replaced(row, more, workshop, capsys):
    before = contents(".")
    for name in row.inputs:
        for alias in (name, f"link{row.kind.suffixes[0]}"):
            if alias != name:
                Path(alias).symlink_to(name)
            assert run(row, alias, *more) == 2
            assert f"{row.option} {alias} is an input of this command" in capsys.readouterr().err
            assert contents(".").items() >= before.items()


@every_option
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_gets_the_results_alone(row, name, workshop):
    before = contents(".")
    command = [sys.executable, "-m", "ppreid.cli", *row.command, row.option, name]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert row.kind.begins.match(done.stdout) and b"written: " in done.stderr
    read_whole(row.kind.suffixes[0], done.stdout)
    assert {name for name in contents(".") if not name.startswith("demo/")} == set(before)


def read_whole(suffix, content):
    """Read a file of a kind to its end, with nothing before, between or behind."""
    if suffix == ".json":
        json.loads(content)
    elif suffix == ".csv":
        header, *rows = csv.reader(io.StringIO(content.decode()))
        assert rows and all(len(row) == len(header) for row in rows)
    elif suffix == ".png":
        Image.open(io.BytesIO(content)).verify()
        assert content.endswith(b"IEND\xaeB`\x82")
    else:
        assert content.rstrip().endswith(b"</html>")


@every_option
def test_a_pipe_is_written_into_and_a_link_is_followed(row, workshop):
    os.mkfifo("pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()))
    reader.start()
    assert run(row, "pipe") == 0
    reader.join(timeout=60)
    assert row.kind.begins.match(found[0]) and stat.S_ISFIFO(os.stat("pipe").st_mode)
    link = Path(f"link{row.kind.suffixes[0]}")
    link.symlink_to("target")
    assert run(row, link) == 0
    assert link.is_symlink() and row.kind.begins.match(Path("target").read_bytes())


@every_option
def test_a_name_that_does_not_fit_or_has_no_place_is_said_before_the_work(row, workshop, capsys):
    suffix = row.kind.suffixes[0]
    Path(f"folder{suffix}").mkdir()
    Path("file").touch()
    missing = "file/below" if row.command[0] == "cluster" else "missing"  # cluster makes a folder where it can
    before = contents(".")
    for name, code, message in (
        ("out.jpg", 2, f"{row.option} out.jpg would be {row.kind.what}"),
        (f"{missing}/out{suffix}", 8, f"{missing}/out{suffix} cannot be written: "),
        (f"folder{suffix}", 8, "cannot be written: Is a directory"),
    ):
        assert run(row, name) == code
        assert message in capsys.readouterr().err
    assert contents(".") == before


def test_the_table_has_every_option_that_takes_a_file_or_folder():
    found = set()

    def options(prefix, one):
        for action in one._actions:
            if hasattr(action, "choices") and isinstance(action.choices, dict):
                for name, sub in action.choices.items():
                    options([*prefix, name], sub)
            elif action.type is Path or str(action.metavar).startswith(("FILE", "FOLDER", "DIR")):
                name = max(action.option_strings, key=len, default="")
                if name and name not in READ:
                    found.add(" ".join([*prefix, name]))

    options([], parser())
    assert {name.replace("search query", "search") for name in found} == set(OPTIONS) | IN_PARTS | FOLDERS | ELSEWHERE


def tiny(*more):
    return ["-c", "tiny.yaml", "-o", "model.weights=net.safetensors", "-o", "eval.engine=eager", *more]


def test_features_and_their_csv(workshop, capsys):
    command = ["extract", *tiny("--part", "query", "--out", "q.npy")]
    Path("q.csv").write_text("mine")
    assert main(command) == 2
    assert "q.csv exists, and " in capsys.readouterr().err and Path("q.csv").read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    before = contents(".")
    assert main(command) == 2 and contents(".") == before
    assert main([*command, "--overwrite"]) == 0
    assert contents(".") == before


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_table_of_cameras_is_not_replaced_by_that_of_the_features(more, workshop, capsys):
    Path("q.csv").write_text("path,camera\n0007_c1s1_000000_00.jpg,hall\n")
    section = ["data.name=camera_folder", "data.camera_folder.camera=csv", "data.camera_folder.csv=q.csv"]
    options = [word for key in section for word in ("-o", key)]
    assert main(["extract", *tiny("--images", "images", "--out", "q.npy", *options, *more)]) == 2
    assert "--out q.csv is an input of this command" in capsys.readouterr().err
    assert Path("q.csv").read_text().startswith("path,camera")


def test_features_of_an_exported_network(workshop, capsys):
    assert main(["export", *tiny("--out", "net", "--formats", "paddle")]) == 0
    command = ["predict", "net", "person.png", "--runtime", "paddle", "--out", "p.npy"]
    Path("p.csv").write_text("mine")
    assert main(command) == 2 and Path("p.csv").read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert main(command) == 2
    assert "p.npy exists already" in capsys.readouterr().err
    before = contents("net")
    assert main(["export", *tiny("--out", "net", "--formats", "paddle", "--layout", "nchw-float")]) == 2
    assert "net holds another export" in capsys.readouterr().err and contents("net") == before


def test_an_export_does_not_replace_the_weights_that_it_reads(workshop, capsys):
    Path("net").mkdir()
    shutil.copy("net.safetensors", "net/model.json")
    assert main(["export", *tiny("--out", "net", "--overwrite", "-o", "model.weights=net/model.json")]) == 2
    assert "--out net/model.json is an input" in capsys.readouterr().err
    assert Path("net/model.json").read_bytes() == Path("net.safetensors").read_bytes()


def test_results_are_kept_for_each_data_set_and_weights(workshop, capsys):
    cfg = load_config("tiny.yaml")
    save_weights("other.safetensors", wiring.reid_net(cfg.model))
    folder = Path(cfg.output_dir)

    def evaluated(*more):
        assert main(["eval", *tiny(*more)]) == 0
        return {file.name: file.read_bytes() for file in folder.glob("results*.json")}

    first = evaluated()
    assert len(first) == 2 and len(set(first.values())) == 1
    second = evaluated("-o", "model.weights=other.safetensors")
    assert len(second) == 3 and second["results.json"] != first["results.json"]
    for name, content in first.items():
        assert second[name] == content or name == "results.json"
    (own,) = second.keys() - first.keys()
    assert own.startswith("results_demo_other-") and second[own] == second["results.json"]
    assert outputs.RESULTS_JSON.begins.match(second[own])
    assert evaluated().keys() == second.keys()


def test_a_training_names_no_option_that_it_does_not_have(workshop, tiny_root, capsys):
    shutil.copytree(tiny_root / "demo" / "bounding_box_train", workshop / "crops" / "hall")
    (workshop / "crops" / "hall" / "broken.jpg").write_bytes(b"no image")
    Path("out").mkdir()
    keys = ["data.name=camera_folder", "data.root=crops", "output_dir=out", "data.on_bad_image=skip"]
    keys += ["solver.epochs=1", "solver.iters=1"]
    command = ["train", "-c", "tiny.yaml", *(word for key in keys for word in ("-o", key))]
    for name in ("bad_images.txt", "cameras.csv"):
        Path("out", name).write_text("mine")
        for more in ([], ["--resume"]):
            assert main([*command, *more]) == 2
            said = capsys.readouterr().err
            assert f"{name} exists and is not " in said and "; move it away" in said and "pass --overwrite" not in said
        assert Path("out", name).read_text() == "mine"
        Path("out", name).unlink()
    Path("out", name).write_text("mine")
    assert main([*command, "--overwrite"]) == 0
    assert Path("out", name).read_text() != "mine"


@pytest.mark.parametrize("name", ["results.json", "bad_images.txt", "cameras.csv"])
def test_what_an_evaluation_writes_unasked_replaces_nothing_of_somebody_else(name, workshop, tiny_root, capsys):
    root = workshop / "crops"
    for file in sorted((tiny_root / "demo" / "query").iterdir()):
        (root / file.name.split("_")[1]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / file.name.split("_")[1])
    (root / "c1s1" / "broken.jpg").write_bytes(b"no image")
    folder = workshop / "out"
    folder.mkdir()
    (folder / name).write_text("mine")
    keys = ["data.name=camera_folder", f"data.root={root}", f"output_dir={folder}", "data.on_bad_image=skip"]
    keys += [f"data.camera_folder.{part}={tiny_root / 'demo' / folder}" for part, folder in LABELLED.items()]
    command = ["eval", *tiny(*(word for key in keys for word in ("-o", key)))]
    assert main(command) == 2
    assert f"{name} exists and is not " in capsys.readouterr().err and (folder / name).read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert (folder / name).read_text() != "mine"
    assert main(command) == 0
    kinds = {"bad_images.txt": outputs.SKIPPED_TXT, "cameras.csv": outputs.CAMERAS_CSV}
    for file, kind in kinds.items():
        assert kind.begins.match((folder / file).read_bytes())


LABELLED = {"query": "query", "gallery": "bounding_box_test"}


def test_the_labels_of_a_run_are_its_own(workshop, capsys):
    Path("run/labels.csv").write_text("path,cluster\na.jpg,0\n")
    for place in (["-o", "output_dir=run"], ["--out", "run/labels.csv"]):
        assert main(["cluster", "--features", "f.npy", *place]) == 2
        assert "run/labels.csv holds the labels of a run" in capsys.readouterr().err
    assert Path("run/labels.csv").read_text() == "path,cluster\na.jpg,0\n"
    assert main(["cluster", "--features", "f.npy", "--out", "run/labels.csv", "--overwrite"]) == 0
    assert main(["cluster", "--features", "f.npy", "-o", "output_dir=new/folder"]) == 0
    assert Path("new/folder/labels.csv").read_text() == Path("run/labels.csv").read_text()


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_converted_weights_do_not_replace_what_they_are_made_of(more, workshop, capsys):
    before = Path("net.safetensors").read_bytes()
    Path("link.safetensors").symlink_to("net.safetensors")
    for name in ("net.safetensors", "link.safetensors"):
        assert main(["convert-weights", "net.safetensors", name, "-c", "tiny.yaml", *more]) == 2
        assert f"OUT {name} is an input of this command" in capsys.readouterr().err
    assert Path("net.safetensors").read_bytes() == before
    assert main(["convert-weights", "net.safetensors", "missing/a.safetensors", "-c", "tiny.yaml", *more]) == 8


def test_an_index_that_is_complete_is_found_to_be_so_and_another_one_is_refused(workshop, capsys):
    command = ["search", "index", *tiny("--out", "again")]
    assert main(command) == 0
    before = contents("again")
    assert main(command) == 0 and contents("again") == before
    assert main([*command, "-o", "data.height=48"]) == 2
    assert "again holds an index, of other images or another network" in capsys.readouterr().err
    assert contents("again") == before
    Path("again/mine.txt").write_text("mine")
    assert main([*command, "-o", "data.height=48", "--overwrite", "-o", "model.weights=missing.safetensors"]) == 4
    assert contents("again") == before | {"again/mine.txt": b"mine"}
    assert main([*command, "-o", "data.height=48", "--overwrite"]) == 0
    assert Path("again/mine.txt").read_text() == "mine"
    assert main(["search", "query", "again", "person.png"]) == 0


def test_an_ablation_replaces_runs_of_another_configuration_and_foreign_tables_only_when_asked_to(workshop, capsys):
    command = ["ablate", "-c", "tiny.yaml", "--out", "table", "--seeds", "1", "--rows", "ise"]
    command += ["-o", "solver.epochs=1", "-o", "eval.engine=eager"]
    Path("table").mkdir()
    Path("table/ablation.csv").write_text("mine")
    assert main(command) == 2
    assert "ablation.csv exists and is not a CSV of an ablation; pass --overwrite" in capsys.readouterr().err
    assert os.listdir("table") == ["ablation.csv"]
    assert main([*command, "--overwrite"]) == 0
    for name, kind in (("md", outputs.ABLATION_MD), ("csv", outputs.ABLATION_CSV), ("json", outputs.ABLATION_JSON)):
        assert kind.begins.match(Path(f"table/ablation.{name}").read_bytes())
    before = contents("table")
    assert main([*command, "--overwrite"]) == 0 and contents("table") == before
    assert main([*command, "-o", "labels.min_samples=3"]) == 2
    assert "another configuration" in capsys.readouterr().err and contents("table") == before
    assert main([*command, "-o", "labels.min_samples=3", "--overwrite"]) == 0
    assert load_config(Path("table/ise_seed1/config.yaml")).labels.min_samples == 3
