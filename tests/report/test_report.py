import json
import logging
import re
import shutil
import subprocess
import sys

import pytest

from ppreid import wiring
from ppreid.base.errors import PpreidWarning
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.report import page
from ppreid.run.folder import BEST, LABELS, LAST, LOG, METRICS, REPORT
from ppreid.run.lock import LOCK, process_at_work, run_lock
from ppreid.verbs.report import report
from ppreid.verbs.train import train

SMALL = ["report.enabled=true", "report.queries=2", "report.clusters=2", "report.map_images=20"]


@pytest.fixture(scope="module")
def finished(write_tiny_config, tmp_path_factory):
    """Folder of a finished run of two epochs with its report, and its configuration file."""
    folder = tmp_path_factory.mktemp("finished")
    config = write_tiny_config(folder)
    logger = logging.getLogger("ppreid")
    level = logger.level
    logger.setLevel(logging.INFO)
    train(load_config(config, SMALL))
    logger.setLevel(level)
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def sections(page):
    names = ("curves", "ranking", "clusters", "map", "epochs", "configuration")
    return [name for name in names if f'id="{name}"' in page]


def test_training_ends_with_a_report_of_everything(finished):
    page = (finished / REPORT).read_text(encoding="utf-8")
    assert sections(page) == ["curves", "ranking", "clusters", "map", "epochs", "configuration"]
    assert 'class="state finished"' in page
    assert page.count("<img ") > 50
    assert "report: " in (finished / LOG).read_text()


def test_the_ranking_of_the_report_is_the_evaluation_of_the_run(finished):
    rows = [json.loads(line) for line in (finished / METRICS).read_text().splitlines()]
    last = rows[-1]["last"]
    page = (finished / REPORT).read_text(encoding="utf-8")
    assert f"mAP {last['mAP']:.1f} %, Rank-1 {last['Rank-1']:.1f} %" in page


def test_it_recommends_what_the_sweep_recommends_where_identities_are_known_too(finished, capsys):
    last = ["-o", f"model.weights={finished / LAST}"]
    assert main(["cluster", str(finished), *last, "--sweep", "eps=0.2:0.8:0.05"]) == 0
    what, reason = re.search(r"recommended: (labels\.eps=[\d.]+|none), since (.*)", capsys.readouterr().err).groups()
    page = (finished / REPORT).read_text(encoding="utf-8")
    clusters = page.split('id="clusters"')[1].split("</section>")[0]
    assert f"Recommended: {what} (this run: 0.6), since {reason}." in clusters
    assert 'id="verdict"' not in page


def test_no_training_image_is_extracted_twice(run, monkeypatch):
    """The map shows images that the sweep for the recommended eps has seen."""
    read, real = [], wiring.feature_extractor

    def counting(cfg, model, **options):
        extract = real(cfg, model, **options)

        def counted(records, **more):
            read.extend(record.path for record in records)
            return extract(records, **more)

        return counted

    monkeypatch.setattr(wiring, "feature_extractor", counting)
    report([run])
    assert len(read) == len(set(read)) > 48  # 48 training images, queries and gallery


def test_a_report_made_later_equals_the_one_of_training(run, finished):
    assert main(["report", str(run)]) == 0
    before, after = ((folder / REPORT).read_text(encoding="utf-8") for folder in (finished, run))

    def without_time_and_name(page):
        return page.split("<main")[1].split("<footer")[0]

    assert without_time_and_name(after) == without_time_and_name(before)


def test_other_options(run, tmp_path):
    out = tmp_path / "page.html"
    arguments = ["-o", "report.projection=pca", "-o", "report.map_images=10", "--checkpoint", "best"]
    assert main(["report", str(run), "--out", str(out), *arguments]) == 0
    page = out.read_text(encoding="utf-8")
    assert "(PCA)" in page and "t-SNE" in (run / REPORT).read_text(encoding="utf-8")
    assert page.split('id="points"')[1].split("</svg>")[0].count("<circle") == 10


def test_without_weights_or_data_the_rest_is_shown_and_it_says_so(run):
    (run / LAST).unlink()
    with pytest.warns(PpreidWarning, match="Rank lists, images and the map are missing"):
        report([run])
    page = (run / REPORT).read_text(encoding="utf-8")
    assert sections(page) == ["curves", "clusters", "epochs", "configuration"]
    assert "Rank lists, images and the map are missing" in page
    assert LAST in page
    with pytest.warns(PpreidWarning, match="/nowhere"):
        report([run], overrides=["data.root=/nowhere"], checkpoint="best")
    report([run], images=False)
    assert "are missing" not in (run / REPORT).read_text(encoding="utf-8")


def test_labels_of_other_images_are_not_shown_with_these(run):
    lines = (run / LABELS).read_text().splitlines(keepends=True)
    (run / LABELS).write_text("".join(lines[:-1]))
    report([run])
    page = (run / REPORT).read_text(encoding="utf-8")
    assert "not those of labels.csv" in page
    assert sections(page) == ["curves", "ranking", "clusters", "epochs", "configuration"]


def test_a_comparison_lays_runs_over_each_other(run, finished, tmp_path):
    out = tmp_path / "both.html"
    assert main(["report", str(run), str(finished), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert sections(page) == ["curves", "configuration"]
    assert "The configurations are equal." in page
    assert '<th scope="row">copy</th>' in page
    assert main(["report", str(run), str(finished)]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{run}", "-o", "report.projektion=pca"], 2, "did you mean"),
        (["{run}", "--out", "/nowhere/at/all.html"], 8, "/nowhere/at/all.html cannot be written"),
        (["{run}/.."], 3, "not the folder of a training run"),
        (["/nowhere"], 3, "not the folder of a training run"),
    ],
)
def test_errors_are_one_message_and_an_exit_code(arguments, code, message, run, capsys):
    assert main(["report", *(text.format(run=run) for text in arguments)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_report_that_fails_costs_nothing_but_the_report(tiny_config, tmp_path, monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a fault in the report")

    monkeypatch.setattr(page, "run_page", broken)
    history = train(load_config(tiny_config, ["report.enabled=true", "solver.epochs=1"]))
    assert [row["epoch"] for row in history] == [0, 1]
    assert "a fault in the report" in caplog.text
    assert f"tools/report.py {tmp_path / 'run'}" in caplog.text
    assert (tmp_path / "run" / BEST).exists()
    assert not (tmp_path / "run" / REPORT).exists()


def test_overwriting_a_run_removes_its_report(run, write_tiny_config, tmp_path):
    config = write_tiny_config(tmp_path)
    train(load_config(config, [f"output_dir={run}", "solver.epochs=1"]), overwrite=True)
    assert not (run / REPORT).exists()


def test_a_running_run_is_seen_and_left_alone(run):
    metrics = (run / METRICS).read_text().splitlines(keepends=True)
    (run / METRICS).write_text("".join(metrics[:-1]))  # without the summary
    code = (
        "import sys, time; from pathlib import Path; from ppreid.run.lock import run_lock\n"
        f"with run_lock(Path({str(run)!r})):\n print('locked', flush=True)\n sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        before = {file.name: file.stat().st_mtime_ns for file in run.iterdir()}
        assert f"process {holder.pid}" in process_at_work(run)
        report([run])
        assert 'class="state running"' in (run / REPORT).read_text(encoding="utf-8")
        after = {file.name: file.stat().st_mtime_ns for file in run.iterdir()}
        assert {name for name in after if after[name] != before.get(name)} == {REPORT}
    finally:
        holder.communicate("")
    assert holder.returncode == 0  # it still had its lock
    report([run], images=False)
    assert 'class="state stopped"' in (run / REPORT).read_text(encoding="utf-8")


def test_a_lock_that_a_dead_process_left_is_nobodys(tmp_path):
    assert process_at_work(tmp_path) == ""
    with run_lock(tmp_path):
        facts = json.loads((tmp_path / LOCK).read_text())
    for change, is_there in (({}, True), ({"ticks": 1}, False), ({"pid": 2**22 + 1}, False), ({"boot": "other"}, True)):
        (tmp_path / LOCK).write_text(json.dumps(facts | change))
        assert bool(process_at_work(tmp_path)) == is_there, change
    (tmp_path / LOCK).write_text("")
    assert process_at_work(tmp_path) == ""
