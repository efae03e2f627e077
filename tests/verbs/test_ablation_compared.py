"""Any configurations and keys beside each other: rows, seeds, processes, tables in three forms, and who wins where."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ppreid.base.errors import ClusteringError, ConfigError
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.evaluation.bootstrap import Difference
from ppreid.report.ablation_formats import latex_table, number_table
from ppreid.report.ablation_table import FinishedRun, collapsed_note, finished_run, table_cells
from ppreid.run.folder import LAST, METRICS, RESULTS
from ppreid.run.lock import process_at_work
from ppreid.verbs import train as training
from ppreid.verbs.ablation_runs import combinations

SHORT = ["-o", "solver.epochs=1", "-o", "solver.iters=1", "-o", "eval.engine=eager"]


@pytest.fixture
def counted(monkeypatch):
    """Folders of the runs that were trained in this process."""
    folders, real = [], training.train

    def instead(cfg, **kwargs):
        folders.append(Path(cfg.output_dir).name)
        return real(cfg, **kwargs)

    monkeypatch.setattr(training, "train", instead)
    return folders


@pytest.fixture
def ablate(tiny_config, tmp_path, monkeypatch):
    """Runs the command in a folder of its own, on the tiny configuration unless another is named."""
    monkeypatch.chdir(tmp_path)

    def run(*more):
        source = [] if "-c" in more else ["-c", str(tiny_config)]
        return main(["ablate", *source, "--out", "out", *SHORT, *map(str, more)])

    return run


def lines(name):
    with open(name, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_combination_of_values_is_a_row_in_the_order_they_are_given(ablate, counted):
    grid = ["--vary", "memory.momentum=0.1,0.3", "--vary", "labels.eps=0.6,0.7"]
    assert ablate(*grid, "--seeds", "4,2", "--csv", "table.csv") == 0
    rows = [f"momentum={momentum} eps={eps}" for momentum in (0.1, 0.3) for eps in (0.6, 0.7)]
    assert counted == [f"{row.replace(' ', '_')}_seed{seed}" for seed in (4, 2) for row in rows]
    assert [line["row"] for line in lines("table.csv")] == rows
    for row, (momentum, eps) in zip(rows, [(0.1, 0.6), (0.1, 0.7), (0.3, 0.6), (0.3, 0.7)], strict=True):
        cfg = load_config(Path("out", f"{row.replace(' ', '_')}_seed2", "config.yaml"), alone=True)
        assert (cfg.memory.momentum, cfg.labels.eps, cfg.seed) == (momentum, eps, 2)
        assert cfg.ise.objective == load_config("demo.yaml").ise.objective
    assert ablate(*grid, "--seeds", "4,2") == 0
    assert len(counted) == 8  # nothing is made twice


def test_several_configurations_are_rows_and_the_first_one_is_what_the_others_are_compared_with(
    ablate, tiny_config, counted
):
    for name in ("first", "second"):
        Path(f"{name}.yaml").write_text(f"base: {tiny_config}\nlabels: {{min_samples: {len(name) - 3}}}\n")
    assert ablate("-c", "first.yaml", "-c", "second.yaml", "--seeds", "1", "--latex", "-", "--csv", "t.csv") == 0
    assert counted == ["first_seed1", "second_seed1"]
    assert "mAP - first, same seeds" in Path("out/ablation.md").read_text()
    first, second = lines("t.csv")
    assert first["difference, same seeds, mean"] == "0.0"
    gain = float(second["last mAP, mean"]) - float(first["last mAP, mean"])
    assert float(second["difference, same seeds, mean"]) == pytest.approx(gain, abs=1e-3)


def test_the_table_for_latex_goes_to_standard_output_alone(ablate, capfd):
    assert ablate("--rows", "ise", "--seeds", "1", "--latex", "-") == 0
    out, err = capfd.readouterr()
    assert out.startswith("% ppreid ablate: Percent; ") and out.endswith("\\end{tabular}\n")
    assert "| ISE (+PIL+LP) |" in err


WRONG = [
    (["--vary", "labels.eps"], "--vary takes KEY=VALUE,VALUE"),
    (["--vary", "labels.eps="], "--vary takes KEY=VALUE,VALUE"),
    (["--vary", "labels.epss=0.1"], "did you mean labels.eps"),
    (["--vary", "labels.eps=0.1,x"], "labels.eps is 'x'"),
    (["--vary", "output_dir=a,b"], "use --out"),
    (["--vary", "seed=1,2"], "use --seeds"),
    (["--vary", "labels.eps=0.1", "--vary", "labels.eps=0.2"], "names labels.eps twice"),
    (["--vary", f"labels.eps={','.join(str(1 / n) for n in range(2, 40))}", "--vary",
      f"memory.momentum={','.join(str(1 / n) for n in range(2, 40))}"], "more than 1,000 rows"),
    (["--vary", "data.name=demo,market1501"], "several data sets, demo and market1501"),
    (["--seeds", "1,1"], "--seeds is 1,1"),
    (["--seeds", "1,-1"], "--seeds is 1,-1"),
    (["--seeds", ","], "--seeds is ,"),
    (["--seeds", "0"], "--seeds is 0"),
    (["--jobs", "-1"], "--jobs is -1"),
    (["--devices", "gpu:0"], "--devices 'gpu:0'"),
    (["--csv", "x.csv", "--latex", "x.csv"], "x.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda part: " ".join(part)[:40] if part[0] == "-" else "")
def test_wrong_options_are_refused_before_anything_is_trained(options, message, ablate, counted, capsys):
    assert ablate(*options) == 2
    assert message in capsys.readouterr().err
    assert not counted and not Path("out").exists()


def test_two_configurations_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.yaml").write_text("base: demo.yaml\n")
    files = [(str(tmp_path / folder / "same.yaml"), "") for folder in ("a", "b")]
    with pytest.raises(ConfigError, match="two rows are called 'same'"):
        combinations(files, [], [])


def test_keys_with_the_same_last_part_are_whole_in_the_names_and_lists_are_one_value():
    vary = ["labels.k1=20,30", "labels.track.k1=5", "data.mean=[0.5, 0.5, 0.5],[0.4,0.4,0.4]"]
    found = combinations([("demo.yaml", "")], vary, [])
    assert next(iter(found)) == "labels.k1=20 labels.track.k1=5 data.mean=[0.5, 0.5, 0.5]"
    assert [list(cfg.data.mean) for cfg in found.values()][:2] == [[0.5] * 3, [0.4] * 3] and len(found) == 4


# several at a time


@pytest.mark.slow
def test_runs_side_by_side_end_as_they_do_one_after_the_other_and_one_that_fails_ends_no_other(ablate, counted, capsys):
    vary = ["--vary", "labels.min_samples=2,900", "--seeds", "1"]
    assert ablate(*vary, "--jobs", "2") == ClusteringError.exit_code
    text = capsys.readouterr().err
    assert not counted and "0 of 2 runs are finished" in text
    assert "1 of 2 runs failed, see above; first: " in text
    aside = Path("out/ablation.md").read_text()
    assert "| min_samples=2 | 1" in aside and "| min_samples=900 | - |" in aside
    os.rename("out", "side")
    assert ablate(*vary) == ClusteringError.exit_code
    assert Path("out/ablation.md").read_text() == aside
    last = [json.loads(Path(folder, "min_samples=2_seed1", METRICS).read_text().splitlines()[-1])["last"]
            for folder in ("side", "out")]  # fmt: skip
    assert last[0] == last[1]


def test_a_fault_that_all_have_ends_the_command_with_its_message(ablate, capsys):
    assert ablate("--rows", "ise", "--seeds", "1", "--jobs", "1", "-o", "data.root=nowhere") == 3
    assert re.search(r"^error: .*nowhere", capsys.readouterr().err, re.MULTILINE)


def test_a_run_that_is_killed_is_said_to_be(ablate, capsys, monkeypatch):
    program = "import os, sys; print('epoch 4', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    monkeypatch.setattr("ppreid.verbs.ablation_jobs.PROGRAM", program)
    assert ablate("--rows", "ise", "--seeds", "1", "--jobs", "1") == 1
    assert re.search(r"^error: the run in .*ise_seed1 was ended by SIGKILL; its log", capsys.readouterr().err, re.M)


@pytest.mark.slow
def test_a_signal_is_passed_on_and_the_same_command_goes_on(ablate, tiny_config):
    options = ["-c", tiny_config, "--out", "out", "--rows", "ise", "--seeds", "2", "--jobs", "2"]
    options += ["-o", "solver.epochs=40", "-o", "eval.engine=eager"]
    command = [sys.executable, "-m", "ppreid.cli", "ablate", *map(str, options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoints = [Path("out", f"ise_seed{seed}", LAST) for seed in (1, 2)]
    for _ in range(1200):
        if all(path.exists() for path in checkpoints):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, text
    assert "the same command goes on" in text
    for path in checkpoints:
        assert finished_run(path.parent, "ise", 1) is None and not process_at_work(path.parent)


# query by query


VARY = ["--vary", "memory.momentum=0.1,0.9", "--seeds", "2", "--compare", "--csv"]


@pytest.fixture(scope="module")
def compared_once(write_tiny_config, tmp_path_factory):
    """A folder with two rows of two seeds, compared."""
    folder = tmp_path_factory.mktemp("compared")
    config, out = str(write_tiny_config(folder)), str(folder / "out")
    assert main(["ablate", "-c", config, "--out", out, *SHORT, *VARY, str(folder / "t.csv")]) == 0
    return folder


@pytest.fixture
def two(compared_once, ablate, tmp_path):
    """A copy of it, in which the test is; gives the options that made it."""
    shutil.copytree(compared_once, tmp_path, dirs_exist_ok=True)
    return [*VARY, "t.csv"]


def test_rows_are_compared_query_by_query_on_their_last_networks(two, ablate):
    facts = {path.parent.name: json.loads(path.read_text()) for path in Path("out").rglob(RESULTS)}
    assert len(facts) == 4 and all(name.endswith(("seed1", "seed2")) for name in facts)
    precision = {name: 100 * np.array(each["results"]["average_precision"], float) for name, each in facts.items()}
    gain = [precision[f"momentum=0.9_seed{seed}"] - precision[f"momentum=0.1_seed{seed}"] for seed in (1, 2)]
    first, second = lines("t.csv")
    assert first["difference over queries"] == "" == first["p"]
    assert float(second["difference over queries"]) == pytest.approx(np.nanmean(gain), abs=1e-3)
    assert float(second["low"]) <= float(second["difference over queries"]) <= float(second["high"])
    page = Path("out/ablation.html").read_text(encoding="utf-8")
    mean = np.mean(gain, axis=0)
    assert f"better on {(mean > 0).sum()} queries, worse on {(mean < 0).sum()}, the same on {(mean == 0).sum()}" in page
    assert page.count("<img") == min((mean > 0).sum(), 12) + min((mean < 0).sum(), 12)
    assert "over queries and seeds: mAP - momentum=0.1, 95 % interval, p" in Path("out/ablation.md").read_text()


def test_what_was_evaluated_is_not_evaluated_again_unless_the_network_is_another(two, ablate, monkeypatch):
    evaluated, real = [], __import__("ppreid.verbs.evaluate", fromlist=["evaluate"]).evaluate

    def instead(cfg, **kwargs):
        evaluated.append(Path(cfg.output_dir).name)
        return real(cfg, **kwargs)

    monkeypatch.setattr("ppreid.verbs.evaluate.evaluate", instead)
    before = Path("out/ablation.md").read_text()
    assert ablate(*two) == 0
    assert not evaluated and Path("out/ablation.md").read_text() == before
    results = Path("out/momentum=0.1_seed1", RESULTS)
    results.write_text(json.dumps({**json.loads(results.read_text()), "weights": {"sha256": "0" * 64}}, indent=2))
    assert ablate(*two) == 0
    assert evaluated == ["momentum=0.1_seed1"]


def test_an_evaluation_of_the_same_network_by_other_rules_is_not_taken(two, ablate):
    results = Path("out/momentum=0.1_seed1", RESULTS)
    assert main(["eval", str(results.parent), "--last", "-o", "eval.ignore_camera=true"]) == 0
    assert json.loads(results.read_text())["config"]["eval"]["ignore_camera"]
    assert ablate(*two) == 0
    assert not json.loads(results.read_text())["config"]["eval"]["ignore_camera"]


@pytest.mark.parametrize("values", [[2.0], ["x"], 3, None, [True, {}]])
def test_results_that_somebody_changed_are_refused(values, two, ablate, capsys):
    results = Path("out/momentum=0.1_seed1", RESULTS)
    facts = json.loads(results.read_text())
    results.write_text(json.dumps({**facts, "results": {"average_precision": values}}, indent=2))
    assert ablate(*two) == 3
    assert f"{results} has no list of average precisions" in capsys.readouterr().err


# tables


def run_of(row, seed, value, collapsed=""):
    evaluation = {"epoch": 4, "mAP": value, "Rank-1": value + 20}
    return FinishedRun(row, seed, f"out/{row}_seed{seed}", evaluation, evaluation, collapsed)


RUNS = [run_of("a_b", 1, 40.0), run_of("a_b", 2, 44.0), run_of("c", 1, 43.0), run_of("c", 2, 9.0, "loss 0 in epoch 4")]


def test_a_collapsed_run_is_named_and_is_in_no_mean():
    _, first, second = table_cells(RUNS, ["a_b", "c"], "demo")
    assert first[1] == "42.0 ± 2.8 (2)" and second[1] == "43.0 (1)"
    assert second[4] == "3.0 (1)"  # its seed 2 is not subtracted either
    assert collapsed_note(RUNS) == "In no mean, since they collapsed: c_seed2 (loss 0 in epoch 4).\n"
    assert collapsed_note(RUNS[:3]) == ""
    header, numbers = number_table(RUNS, ["a_b", "c"], {})
    assert dict(zip(header, numbers[1], strict=True))["collapsed"] == 1


@pytest.mark.parametrize(
    ("epoch", "reason"),
    [
        ({"clusters": 1, "loss": 0.3}, "one cluster in epoch 2"),
        ({"clusters": 3, "loss": 0.0}, "loss 0 in epoch 2"),
        ({"clusters": 1, "loss": 0}, "one cluster, loss 0 in epoch 2"),
        ({"clusters": 2, "loss": 1e-3}, ""),
        ({"clusters": 2, "loss": None}, ""),
    ],
)
def test_a_run_whose_last_epoch_had_nothing_to_learn_has_collapsed(epoch, reason, tmp_path):
    evaluation = {"epoch": 2, "mAP": 50.0, "Rank-1": 60.0}
    rows = [{"event": "epoch", "epoch": 1, "clusters": 5, "loss": 1.0}, {"event": "epoch", "epoch": 2, **epoch}]
    rows.append({"event": "summary", "last": evaluation, "best": evaluation})
    (tmp_path / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert finished_run(tmp_path, "ise", 1).collapsed == reason


def test_a_table_of_nothing_but_collapsed_runs_has_no_number():
    runs = [run_of("c", 1, 9.0, "one cluster in epoch 1")]
    assert table_cells(runs, ["c"], "demo")[1][1:4] == ["-", "-", "-"]
    assert set(number_table(runs, ["c"], {})[1][0][3:]) == {""}


def test_latex_takes_the_cells_as_they_are_read():
    compared = {"c": Difference(-3.0, -4.04, 1.25, 0.5, 1, 8)}
    text = latex_table(table_cells(RUNS, ["a_b", "c"], "demo", compared), "Percent;\nmore")
    rows = text.splitlines()
    assert rows[:4] == ["% ppreid ablate: Percent;", "% ppreid ablate: more", "\\begin{tabular}{lrrrrr}", "\\hline"]
    assert rows[4].startswith("row & mAP, last epoch & ") and "mAP - a\\_b, 95 \\% interval" in rows[4]
    assert rows[6].startswith("a\\_b & 42.0 $\\pm$ 2.8 (2) & ") and rows[6].endswith("(2) &  &  \\\\")
    assert rows[7].endswith("& -3.0 [-4.0, 1.2], 0.500 \\\\") or rows[7].endswith("& -3.0 [-4.0, 1.3], 0.500 \\\\")
    assert latex_table([["\\{}~^#&$"]], "").splitlines()[2] == (
        r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\#\&\$ \\"
    )
