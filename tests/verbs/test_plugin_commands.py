"""A method of one's own in every command: trained, resumed, evaluated, compared, searched, and not without."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from launched import run_ranks

from ppreid import tables
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import read_facts
from ppreid.run.folder import CONFIG, LAST, METRICS, RESULTS
from ppreid.run.metrics import read_metrics
from ppreid.search.files import read_manifest

PLUGIN = '''
"""One row in every table that a method has."""
from ppreid import LossTerms, cluster_contrast_loss, tables

def contrast(features, labels, centroids, degree, *, temperature, factor, **others):
    loss = factor * cluster_contrast_loss(features, labels, centroids, temperature=temperature)
    return LossTerms(loss, {"loss": loss.detach()}, features.detach(), labels)

tables.OBJECTIVES["mine"] = tables.Objective(contrast, "Mine", {"factor": 2.0}, has_supports=False)
tables.DATASETS["mine"] = tables.Dataset("ppreid.datasets.market1501:read_demo")
tables.BACKBONES["mine"] = tables.Backbone("ppreid.models.resnet:resnet", {"depth": 18})
tables.DISTANCES["mine"] = tables.Distance("ppreid.clustering.jaccard:jaccard_distance", keys=("k1", "k2"))
tables.CLUSTERERS["mine"] = tables.Clusterer("ppreid.clustering.labels:dbscan_labels", within_eps=True)
tables.MEMORY_UPDATES["mine"] = tables.MemoryUpdate("ppreid.ise.memory:update_sequential")
'''
LOSS = PLUGIN[: PLUGIN.index("tables.DATASETS")]
MINE = """
base: {base}
plugins: {{mine_all: ""}}
data: {{name: mine}}
model: {{backbone: mine}}
labels: {{distance: mine, clusterer: mine}}
memory: {{update: mine}}
ise: {{objective: mine}}
solver: {{epochs: 1}}
eval: {{engine: eager}}
"""


def forget():
    """As in a new process."""
    for table in tables.CHOICES.values():
        for name in [name for name in table if name == "mine"]:
            del table[name]
    tables.PLUGINS.clear()


def command(*arguments):
    """Run a command as a new process would; gives its exit code."""
    forget()
    return main([str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def forgotten():
    yield
    forget()


@pytest.fixture(scope="module")
def trained(write_tiny_config, tmp_path_factory):
    """A folder with a plugin, a configuration that asks for it, and its finished run."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "mine_all.py").write_text(PLUGIN)
    (folder / "mine.yaml").write_text(MINE.format(base=write_tiny_config(folder)))
    assert command("train", "-c", folder / "mine.yaml", "--plugin", folder / "mine_all.py") == 0
    forget()
    return folder


@pytest.fixture
def mine(trained, tmp_path, monkeypatch):
    """A copy of it, in which the test is."""
    shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return ["--plugin", "mine_all.py"]


OF_A_RUN = {
    "eval": "eval run",
    "extract": "extract run --part query --out q.npy",
    "cluster": "cluster run --out labels.csv",
    "cluster --sweep": "cluster run --sweep eps=0.4:0.6:0.1",
    "export": "export run --out net --formats paddle",
    "search index": "search index run --out index",
    "train --resume": "train --resume run -o solver.epochs=2",
    "train -c": "train -c mine.yaml -o output_dir=other",
    "ablate": "ablate -c mine.yaml --rows ise --seeds 1 --out table",
    "doctor": "doctor -c mine.yaml --data-only",
    "config": "config -c mine.yaml",
    "convert-weights": "convert-weights run/checkpoint_last.safetensors other.safetensors -c mine.yaml",
}


@pytest.mark.parametrize("name", OF_A_RUN)
def test_every_command_takes_the_plugin_and_asks_for_it(name, mine, capsys):
    asks = "mine.yaml" if "-c" in OF_A_RUN[name] else f"run/{CONFIG}"
    assert command(*OF_A_RUN[name].split()) == 2
    text = capsys.readouterr().err
    assert f"{asks} asks for the plugin mine_all, " in text and "pass --plugin mine_all.py" in text
    assert text.count("\n") == 1
    assert command(*OF_A_RUN[name].split(), *mine) == 0, capsys.readouterr().err


def test_a_report_shows_images_with_it_and_says_why_not_without(mine, capsys):
    assert command("report", "run", *mine) == 0
    assert "asks for" not in Path("run/report.html").read_text()
    assert command("report", "run") == 0
    assert "asks for the plugin mine_all" in Path("run/report.html").read_text()
    assert command("report", "run", "run", "--out", "both.html") == 0


def test_run_and_checkpoint_name_it_with_its_digest(mine):
    command("config", "--list", "eps", *mine)
    digest = {"mine_all": tables.PLUGINS["mine_all"].sha256}
    assert load_config("run/config.yaml", alone=True).plugins == digest
    assert read_facts(Path("run", LAST))["config"]["plugins"] == digest
    assert command("eval", "run", *mine) == 0
    assert json.loads(Path("run", RESULTS).read_text())["config"]["plugins"] == digest


def test_an_index_asks_only_for_what_it_needs(mine, tmp_path, capsys):
    assert command("search", "index", "run", "--out", "index", *mine) == 0
    image = next(Path(load_config("mine.yaml").data.root).rglob("query/*.jpg"))
    assert command("search", "query", "index", image) == 2
    assert "asks for the plugin mine_all" in capsys.readouterr().err
    assert command("search", "query", "index", image, *mine) == 0
    # of a run whose loss alone is from a plugin
    Path("mine_all.py").write_text(LOSS)
    loss = ["-o", "ise.objective=mine", "-o", "solver.epochs=1", "-o", "output_dir=own"]
    assert command("train", "-c", "tiny.yaml", *loss, *mine) == 0
    assert command("search", "index", "own", "--out", "second", *mine) == 0
    assert command("search", "query", "second", image) == 0
    assert read_manifest(Path("second")).made_with["weights"] != read_manifest(Path("index")).made_with["weights"]


def test_another_version_goes_on_and_is_said(mine, capsys):
    Path("mine_all.py").write_text(PLUGIN.replace("2.0", "3.0"))
    assert command("eval", "run", *mine) == 0
    assert f"run/{CONFIG} was made with another version of the plugin mine_all (sha256 " in capsys.readouterr().err
    assert command("train", "--resume", "run", "-o", "solver.epochs=2", *mine) == 0
    text = capsys.readouterr().err
    assert "the run goes on differently from here, because of plugins.mine_all" in text
    assert load_config("run/config.yaml", alone=True).plugins == {"mine_all": tables.PLUGINS["mine_all"].sha256}


def test_an_ablation_does_not_mix_versions(mine, capsys):
    ablate = ["ablate", "-c", "mine.yaml", "--rows", "mine,ise", "--seeds", "1", "--out", "table", *mine]
    assert command(*ablate) == 0
    assert "| Mine |" in Path("table/ablation.md").read_text()
    Path("mine_all.py").write_text(PLUGIN + "# a comment\n")
    assert command(*ablate) == 2
    assert "mine_seed1 is a run with another configuration" in capsys.readouterr().err


def test_a_run_with_it_is_resumed_exactly(mine, fault_module):
    twice = ["-o", "solver.epochs=2", "-o", "data.num_workers=1"]
    assert command("train", "-c", "mine.yaml", "-o", "output_dir=alone", *twice, *mine) == 0
    cut = ["train", "-c", "mine.yaml", "-o", "output_dir=cut", *twice, *mine]
    with fault_module.faults("step=4:SIGTERM"):
        assert command(*cut) == 143
    assert command("train", "--resume", "cut", *mine) == 0
    losses = [[row["loss"] for row in read_metrics(Path(name, METRICS)) if "loss" in row] for name in ("alone", "cut")]
    assert losses[0] == losses[1] and len(losses[0]) == 2


def test_a_plugin_that_is_no_use_is_said_by_the_command(mine, capsys):
    Path("mine_all.py").write_text("x = (\n")
    assert command("eval", "run", *mine) == 2
    assert capsys.readouterr().err.startswith("error: the plugin mine_all.py:1 failed: SyntaxError: ")


@pytest.mark.slow
@pytest.mark.ranks
def test_every_process_of_a_run_has_it(mine, checkout):
    tool = checkout / "tools" / "train.py"
    two = ["-o", "model.bn_chunks=2", "-o", "output_dir=two", "-o", "data.num_workers=1"]
    for code, *output in run_ranks([tool, "-c", "mine.yaml", *two, *mine]):
        assert code == 0, output
    command("train", "-c", "mine.yaml", "-o", "model.bn_chunks=2", "-o", "output_dir=one", *mine)
    together, alone = (read_metrics(Path(name, METRICS))[-1]["last"] for name in ("two", "one"))
    assert together["mAP"] == pytest.approx(alone["mAP"], abs=1e-3)
    assert "mine_all" in sys.modules["ppreid.tables"].PLUGINS
