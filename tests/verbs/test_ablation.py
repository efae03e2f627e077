import csv
import json
import signal

import pytest

from ppreid.base.errors import ClusteringError, Interrupted
from ppreid.cli import main
from ppreid.run.folder import LAST, METRICS
from ppreid.verbs import train as training

SHORT = ["-o", "solver.epochs=1", "-o", "eval.engine=eager"]


def ablate(tiny_config, out, *more):
    return main(["ablate", "-c", str(tiny_config), "--out", str(out), *SHORT, *map(str, more)])


@pytest.fixture
def counted(monkeypatch):
    """Folders of the runs that were trained."""
    folders, real = [], training.train

    def instead(cfg, **kwargs):
        folders.append(cfg.output_dir.rpartition("/")[2])
        return real(cfg, **kwargs)

    monkeypatch.setattr(training, "train", instead)
    return folders


def test_every_row_is_trained_with_every_seed_and_finished_runs_are_not_repeated(tiny_config, tmp_path, counted):
    out = tmp_path / "out"
    assert ablate(tiny_config, out, "--seeds", 2, "--rows", "baseline,ise") == 0
    assert counted == ["baseline_seed1", "ise_seed1", "baseline_seed2", "ise_seed2"]
    with open(out / "ablation.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    facts = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
    assert len(table) == len(facts["runs"]) == 4 and facts["paper_mAP_Rank-1"] == {}
    for line in table:  # what stands in the table is what the run wrote
        row = json.loads((out / f"{line['row']}_seed{line['seed']}" / METRICS).read_text().splitlines()[-1])
        assert float(line["last mAP"]) == row["last"]["mAP"]
    page = (out / "ablation.md").read_text(encoding="utf-8")
    assert "| Baseline |" in page and "(2)" in page

    before = {file: file.read_bytes() for file in out.rglob("*.*")}
    assert ablate(tiny_config, out, "--seeds", 2, "--rows", "baseline,ise") == 0
    assert len(counted) == 4
    assert {file: file.read_bytes() for file in out.rglob("*.*")} == before

    # another seed is added to what is there; the table then has it as well
    assert ablate(tiny_config, out, "--seeds", 3, "--rows", "baseline") == 0
    assert counted[4:] == ["baseline_seed3"]
    assert "(3)" in (out / "ablation.md").read_text(encoding="utf-8")


def test_a_run_of_the_ablation_is_the_ordinary_run(tiny_config, tmp_path):
    assert ablate(tiny_config, tmp_path / "out", "--seeds", 1, "--rows", "ise_lp") == 0
    alone = ["-o", "ise.objective=ise_lp", "-o", f"output_dir={tmp_path / 'alone'}", *SHORT]
    assert main(["train", "-c", str(tiny_config), *alone]) == 0
    rows = [
        json.loads((folder / METRICS).read_text().splitlines()[-1])
        for folder in (tmp_path / "out" / "ise_lp_seed1", tmp_path / "alone")
    ]
    assert rows[0]["last"] == rows[1]["last"]


def test_an_interrupted_ablation_goes_on_in_the_middle_of_its_run(tiny_config, tmp_path, fault_module, capsys):
    out = tmp_path / "out"
    with fault_module.faults("step=2:SIGTERM"):
        assert ablate(tiny_config, out, "--seeds", 1, "--rows", "baseline") == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; the same command goes on" in capsys.readouterr().err
    assert (out / "baseline_seed1" / LAST).exists() and not (out / "ablation.md").exists()
    assert ablate(tiny_config, out, "--seeds", 1, "--rows", "baseline") == 0
    assert "after epoch 0 and 2 of 3 steps" in capsys.readouterr().err
    assert (out / "ablation.md").exists()


def test_a_changed_configuration_is_refused_and_moved_data_are_not(tiny_config, tiny_root, tmp_path, capsys, counted):
    out = tmp_path / "out"
    assert ablate(tiny_config, out, "--seeds", 1, "--rows", "baseline") == 0
    for change in ("solver.lr=0.1", "eval.protocol=fastreid"):
        assert ablate(tiny_config, out, "--seeds", 1, "--rows", "baseline", "-o", change) == 2
        assert f"{change.split('=')[0]}: " in capsys.readouterr().err
    (tmp_path / "moved").symlink_to(tiny_root)
    moved = ["-o", f"data.root={tmp_path / 'moved'}", "-o", "log.every=1"]
    assert ablate(tiny_config, out, "--seeds", 1, "--rows", "baseline", *moved) == 0
    assert len(counted) == 1


def test_a_run_that_fails_does_not_keep_the_others_from_running(tiny_config, tmp_path, monkeypatch, capsys):
    real = training.train

    def instead(cfg, **kwargs):
        if cfg.ise.objective == "baseline":
            raise ClusteringError("no cluster found")
        return real(cfg, **kwargs)

    monkeypatch.setattr(training, "train", instead)
    assert ablate(tiny_config, tmp_path / "out", "--seeds", 1, "--rows", "baseline,ise") == ClusteringError.exit_code
    assert "1 of 2 runs failed, see above; first: no cluster found" in capsys.readouterr().err
    assert "| Baseline | - |" in (tmp_path / "out" / "ablation.md").read_text(encoding="utf-8")


def test_a_signal_between_two_runs_is_not_swallowed(tiny_config, tmp_path, monkeypatch):
    def instead(cfg, **kwargs):
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(training, "train", instead)
    assert ablate(tiny_config, tmp_path / "out", "--seeds", 1) == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "baseline,isee"], "--rows is 'isee'; did you mean 'ise'?"),
        (["--seeds", "0"], "--seeds is 0"),
        (["-o", "output_dir=x"], "use --out"),
        (["-o", "ise.objective=ise"], "use --rows"),
        (["-o", "solver.lrr=1"], "did you mean solver.lr"),
        (["-o", "data.name=camera_folder"], "data.camera_folder.query"),
    ],
)
def test_wrong_arguments_are_refused(tiny_config, tmp_path, arguments, message, capsys):
    assert ablate(tiny_config, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err


def test_the_papers_recipe_is_taken_for_its_data_sets(tmp_path, monkeypatch):
    seen = {}

    def remember(configs, out, *, seeds, overwrite):
        seen.update(configs=configs, out=out, seeds=seeds)

    monkeypatch.setattr("ppreid.verbs.ablate.ablate", remember)
    assert main(["ablate", "--dataset", "msmt17", "--seeds", "5", "-o", "data.root=/datasets"]) == 0
    assert {row: cfg.ise.objective for row, cfg in seen["configs"].items()} == {row: row for row in seen["configs"]}
    assert len(seen["configs"]) == 4 and seen["seeds"] == 5 and str(seen["out"]) == "output/ablation_msmt17"
    assert {cfg.labels.eps for cfg in seen["configs"].values()} == {0.7}


def test_a_configuration_for_evaluation_is_refused(capsys):
    assert main(["ablate", "-c", "ResNet50_UReID_infer.yaml"]) == 2
    assert "evaluation" in capsys.readouterr().err


def test_a_batch_per_device_is_no_change_of_the_configuration(tiny_config, tmp_path, counted):
    more = ["--seeds", 1, "--rows", "baseline", "-o", "batch.per_device=8", "-o", "solver.iters=4"]
    assert ablate(tiny_config, tmp_path / "out", *more) == 0
    assert ablate(tiny_config, tmp_path / "out", *more) == 0
    assert counted == ["baseline_seed1"]
