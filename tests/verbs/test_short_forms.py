"""The folder of a run stands for its configuration and its network."""

import json
import shutil

import paddle
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError, WeightsError
from ppreid.cli import main
from ppreid.config.load import config_text, load_config
from ppreid.disk.features import read_features
from ppreid.disk.text import read_json
from ppreid.verbs.command import run_config
from ppreid.weights.files import save_weights

BEST, LAST = "checkpoint_best.safetensors", "checkpoint_last.safetensors"


@pytest.fixture(scope="module")
def trained_once(write_tiny_config, tmp_path_factory):
    """A folder with what a run leaves that others need: its configuration and two different networks."""
    folder = tmp_path_factory.mktemp("short") / "run"
    folder.mkdir()
    cfg = load_config(write_tiny_config(folder.parent), ["model.weights_sha256=" + "0" * 64])
    (folder / "config.yaml").write_text(config_text(cfg), encoding="utf-8")
    for seed, name in enumerate((BEST, LAST)):
        paddle.seed(seed)
        save_weights(folder / name, wiring.reid_net(cfg.model))
    return folder


@pytest.fixture
def trained(trained_once, tmp_path, monkeypatch):
    """A copy of it at another place, and the working directory around it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained_once, tmp_path / "moved")
    return tmp_path / "moved"


def test_the_configuration_is_that_of_the_run_with_its_network_and_its_present_folder(trained):
    cfg, written = run_config(trained), load_config(trained / "config.yaml")
    assert (cfg.model.weights, cfg.model.weights_sha256) == (str(trained / BEST), "")
    assert cfg.output_dir == str(trained) != written.output_dir
    same = {"model": written.model, "output_dir": written.output_dir}
    assert cfg.model_copy(update=same) == written


@pytest.mark.parametrize(
    ("network", "there", "expected"),
    [("last", (BEST, LAST), LAST), ("best", (BEST, LAST), BEST), (None, (LAST,), LAST), (None, (BEST, LAST), BEST)],
)
def test_which_network_of_the_run(trained, network, there, expected):
    for name in {BEST, LAST} - set(there):
        (trained / name).unlink()
    assert run_config(trained, network=network).model.weights == str(trained / expected)


def test_overrides_win(trained):
    (trained / BEST).unlink()
    (trained / LAST).unlink()  # not looked at
    overrides = ["model.weights=mine.safetensors", "output_dir=elsewhere", "eval.batch_size=3"]
    cfg = run_config(trained, [*overrides, "model.weights_sha256=" + "1" * 64])
    assert (cfg.model.weights, cfg.output_dir, cfg.eval.batch_size) == ("mine.safetensors", "elsewhere", 3)
    assert cfg.model.weights_sha256 == "1" * 64


def test_what_is_no_run_or_has_no_network_is_an_error(trained, tmp_path):
    (trained / BEST).unlink()
    with pytest.raises(WeightsError, match=rf"has no {BEST}; it has {LAST}"):
        run_config(trained, network="best")
    (trained / LAST).unlink()
    with pytest.raises(WeightsError, match=rf"has no {BEST} and no {LAST}; has the training written"):
        run_config(trained)
    (trained / "config.yaml").write_text("base: other.yaml\n")
    with pytest.raises(DataError, match="it was changed"):
        run_config(trained)
    with pytest.raises(ConfigError, match="holds no run: it has no config"):
        run_config(tmp_path)


def test_evaluation_and_index_take_a_run(trained, capsys):
    assert main(["eval", "moved"]) == 0
    assert all("  " in line for line in capsys.readouterr().out.splitlines())  # the table alone
    assert read_json(trained / "results.json")["weights"]["path"] == f"moved/{BEST}"
    assert main(["search", "index", "moved", "--last", "--out", "index"]) == 0
    assert f"network: moved/{LAST}" in capsys.readouterr().err


def test_extraction_takes_a_run(trained):
    weights = f"model.weights={trained / LAST}"
    assert main(["extract", "moved", "--last", "--part", "train", "--out", "short.npy"]) == 0
    assert main(["extract", "-c", "moved/config.yaml", "-o", weights, "-o", "model.weights_sha256=", "--part", "train",
                 "--out", "long.npy"]) == 0  # fmt: skip
    short, long = read_features(trained.parent / "short.npy"), read_features(trained.parent / "long.npy")
    assert (short.features == long.features).all()


def test_a_training_goes_on_with_its_own_configuration(tiny_config, tmp_path):
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1", "-o", "seed=7"]) == 0
    (tmp_path / "run").rename(tmp_path / "there")
    assert main(["train", "--resume", str(tmp_path / "there"), "-o", "solver.epochs=2"]) == 0
    assert not (tmp_path / "run").exists()
    rows = [json.loads(line) for line in (tmp_path / "there" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if row["event"] == "epoch"] == [1, 2]
    cfg = load_config(tmp_path / "there" / "config.yaml")
    assert (cfg.seed, cfg.solver.epochs, cfg.output_dir) == (7, 2, str(tmp_path / "there"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "train needs -c FILE; to go on with a run as it was configured, give its folder"),
        (["train", "--resume"], "train needs -c FILE"),
        (["train", "--resume", "nothing/here"], "nothing holds no run: it has no config.yaml"),
        (["eval"], "which network? give the folder of a run (output/demo), or a configuration (-c FILE)"),
        (["eval", "moved", "-c", "demo.yaml"], "moved and -c demo.yaml are two configurations"),
        (["eval", "demo.yaml", "--best"], "--best chooses among the networks of a run"),
        (["eval", "moved", "--best", "--last"], "not allowed with argument --best"),
        (["eval", "-c", "demo.yaml", "-o", "eval.batch_size", "3"], "-o takes KEY=VALUE: -o eval.batch_size=3"),
        (["eval", "--batch-size", "3"], "-o eval.batch_size=3"),
        (["eval", "nothing"], "no file nothing"),
        (["eval", "."], "holds no run"),
    ],
)
def test_wrong_arguments_are_explained(trained, arguments, message, capsys):
    try:
        code = main(arguments)
    except SystemExit as end:  # of argparse
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_configuration_may_stand_without_c(trained):
    weights = f"model.weights={trained / LAST}"
    assert main(["eval", "moved/config.yaml", "-o", weights, "-o", "model.weights_sha256=", "-o", "output_dir=o"]) == 0
    assert (trained.parent / "o" / "results.json").exists()


def test_the_doctor_takes_a_run_as_it_was_configured(trained, capsys):
    assert main(["doctor", "moved", "--data-only", "--json", "findings.json"]) in (0, 3)
    assert "data set demo" in capsys.readouterr().out
    assert main(["doctor", "moved", "--data-only", "--json", "moved/config.yaml", "--overwrite"]) == 2
    assert main(["doctor", "nowhere"]) == 2
    assert main(["doctor", "moved", "-c", "demo.yaml"]) == 2
    assert "two configurations" in capsys.readouterr().err


def test_prediction_says_how_a_run_becomes_an_export(trained, capsys):
    assert main(["predict", "moved", "a.jpg", "--out", "f.npy"]) == 4
    assert "moved is no exported network" in (error := capsys.readouterr().err) and "makes one of a run" in error


def test_a_quiet_command_says_its_result_alone(trained, capsys):
    assert main(["eval", "moved", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("market1501") and shown.err == ""
    assert main(["eval", "--quiet", "moved", "--progress-json"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("market1501")
    assert {json.loads(line)["event"] for line in shown.err.splitlines()} == {"progress"}
    assert main(["--quiet", "eval", "nowhere"]) == 2  # errors are said
    assert "error: " in capsys.readouterr().err
    assert main(["eval", "moved"]) == 0  # the next command of a process is not quiet by itself
    assert "written: " in capsys.readouterr().err


def test_a_base_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # a folder may be called like a configuration
    (tmp_path / "mine.yaml").write_text("base: demo\nseed: 7\n")
    cfg = load_config("mine.yaml")
    assert (cfg.seed, cfg.data.name) == (7, "demo")
    (tmp_path / "mine.yaml").write_text("base: demmo\n")
    with pytest.raises(ConfigError, match="base file demmo does not exist"):
        load_config("mine.yaml")
