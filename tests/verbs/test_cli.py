import re
import runpy
import subprocess
import sys

import pytest

from ppreid.base.errors import PpreidError
from ppreid.cli import EXIT_CODES, VERBS, main, parser


def test_train_then_eval(tiny_config, tmp_path, capsys):
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1"]) == 0
    shown = capsys.readouterr()
    assert f"configuration: {tiny_config}" in shown.err
    assert "best (" in shown.err
    assert shown.out == ""
    weights = tmp_path / "run" / "checkpoint_best.safetensors"
    assert main(["eval", "-c", str(tiny_config), "-o", f"model.weights={weights}"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 4 and "Rank-1" in shown.out  # the table alone
    assert "Rank-1" not in shown.err


def test_a_second_run_is_refused_and_resume_of_a_finished_run_is_harmless(tiny_config, capsys):
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1"]) == 0
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1"]) == 2
    assert "holds an earlier run" in capsys.readouterr().err
    assert main(["train", "-c", str(tiny_config), "-o", "solver.epochs=1", "--resume"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "-c", "nothing.yaml"], 2, "no file nothing.yaml"),
        (["train", "-c", "demo.yaml", "-o", "solver.lrr=1"], 2, "did you mean solver.lr?"),
        (["train", "-c", "ResNet50_UReID_infer.yaml"], 2, "for evaluation only"),
        (["eval", "-c", "ResNet50_UReID_infer.yaml", "-o", "data.root=/nowhere"], 3, "/nowhere"),
    ],
)
def test_errors_are_one_message_and_an_exit_code(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_missing_weights_have_their_own_exit_code(tiny_config, tmp_path, capsys):
    assert main(["eval", "-c", str(tiny_config), "-o", f"model.weights={tmp_path / 'no.safetensors'}"]) == 4
    assert "no.safetensors" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="unknown key"):
        main(["train", "-c", "demo.yaml", "-o", "solver.lrr=1", "--debug"])


@pytest.mark.parametrize("command", VERBS)
def test_every_tool_shows_examples_and_exit_codes(command, checkout, tmp_path, monkeypatch, capsys):
    tool = f"tools/{command.replace('-', '_')}.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [tool, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(checkout / tool), run_name="__main__")
    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert shown.startswith(f"usage: ppreid {command}")
    assert shown.count(tool) >= 3
    assert EXIT_CODES in shown


def test_a_tool_is_a_program_that_runs_in_any_directory(checkout, tmp_path):
    command = [sys.executable, checkout / "tools" / "config.py", "--list", "eps"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "labels.eps" in done.stdout


def test_every_exit_code_of_an_error_is_explained():
    codes = {error.exit_code for error in PpreidError.__subclasses__()}
    for code in {0, 1, 130, 143} | codes:
        assert f" {code} " in EXIT_CODES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian", "-c", "demo.yaml"], "did you mean 'train'?"),
        (
            ["train", "-c", "demo.yaml", "--overwite"],
            "ppreid train does not take '--overwite'; did you mean --overwrite?",
        ),
        (["train", "-c", "demo.yaml", "more"], "ppreid train does not take 'more'; ppreid train --help lists all"),
        (["--lr", "3", "train"], "the command is '--lr'; choose one of: ablate, "),
        (["train", "--lr", "0.1", "-c", "demo.yaml"], "'--lr'; it is a key of the configuration: -o solver.lr=0.1"),
        (["train", "-c", "demo.yaml", "--lr=0.1"], "'--lr=0.1'; it is a key of the configuration: -o solver.lr=0.1"),
        (["train", "-c", "demo.yaml", "-lr", "0.1"], "'-lr'; it is a key of the configuration: -o solver.lr=0.1"),
        (["train", "-c", "demo.yaml", "--epochs", "3"], "-o solver.epochs=3"),
        (["eval", "-c", "demo.yaml", "--batch-size", "8"], "the configuration: -o eval.batch_size=8"),
        (["train", "-c", "demo.yaml", "solver.lr=1"], "it is a key of the configuration: -o solver.lr=1"),
        (["train", "-c", "demo.yaml", "-o", "solver.lr", "1"], "-o takes KEY=VALUE: -o solver.lr=1"),
        (["train", "-c", "demo.yaml", "-o", "solver.lr=", "1"], "-o takes KEY=VALUE: -o solver.lr=1"),
        (["eval", "-c", "demo.yaml", "-o", "device", "cpu"], "-o takes KEY=VALUE: -o device=cpu"),
        (["train", "-c", "demo.yaml", "-o", "solver.lr"], "-o takes KEY=VALUE, for example -o solver.lr=1e-3"),
        (["config", "-c", "demo", "-o", "device=cuda"], "device is 'cuda'; it should be gpu\n"),
        (["help", "trian"], "the command is 'trian'; did you mean 'train'?"),
    ],
)
def test_a_command_or_option_that_does_not_exist_is_answered_with_the_nearest(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["help"], "usage: ppreid [-h]"),
        (["help", "train"], "usage: ppreid train [-h]"),
        (["help", "search", "query"], "usage: ppreid search query [-h]"),
        (["help", "make-demo-data"], "usage: ppreid make-demo-data [-h]"),
    ],
)
def test_help_is_a_word_as_well(arguments, shown, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(shown)


def test_a_configuration_is_found_without_its_suffix_and_its_base_from_elsewhere(
    checkout, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text((checkout / "configs" / "ise_market1501.yaml").read_text())
    printed = []
    for name in ("ise_market1501", "mine.yaml"):
        assert main(["config", "-c", name]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_nothing_shows_the_commands(capsys):
    assert main([]) == 2
    shown = capsys.readouterr().err
    assert all(f"    {command}" in shown for command in VERBS)


def test_the_version_names_paddle_without_importing_it():
    code = "import sys, ppreid.cli; sys.modules['paddle'] = None; ppreid.cli.main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.match(r"ppreid [\d.]+, paddlepaddle(-gpu)? [\d.]+.*, Python 3\.\d+", done.stdout), done.stderr


def test_a_library_writes_the_completions():
    shtab = pytest.importorskip("shtab", reason="shtab is not installed")
    for shell in ("bash", "zsh"):
        script = shtab.complete(parser(), shell)
        assert "make-demo-data" in script and "--overwrite" in script


def test_ctrl_c_ends_with_130(monkeypatch, tiny_config, capsys):
    from ppreid.verbs import train

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    assert main(["train", "-c", str(tiny_config)]) == 130
    assert capsys.readouterr().err.endswith("\ninterrupted\n")


def test_the_help_of_a_command_imports_no_other_command():
    code = "import sys; from ppreid.cli import parser; parser(['eval']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    verbs = {name for name in loaded if name.startswith("ppreid.verbs.")}
    assert verbs == {"ppreid.verbs.evaluate", "ppreid.verbs.command"}
