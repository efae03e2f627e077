"""Every command without standard streams, with full ones, and with signals at bad moments; and without its packages."""

import io
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from ppreid.cli import VERBS, main
from ppreid.doctor import machine
from ppreid.run import keeper
from ppreid.run.folder import LAST
from ppreid.run.log import logger

TINY = "-c tiny.yaml -o eval.engine=eager -o model.weights=net.safetensors"
DEMO = "--train-identities 1 --test-identities 1 --cameras 2 --distractors 0 --height 16 --width 8"
COMMANDS = {  # one that succeeds, of each verb
    "train": "train -c tiny.yaml -o output_dir=fresh -o solver.epochs=1 -o solver.iters=1 -o report.enabled=false",
    "adapt": f"adapt {TINY} -o output_dir=fresh -o solver.epochs=1 -o solver.iters=1 -o report.enabled=false",
    "ablate": "ablate -c tiny.yaml -o solver.epochs=1 -o solver.iters=1 --rows ise --seeds 1 --out rows",
    "eval": f"eval {TINY} -o output_dir=fresh",
    "extract": f"extract {TINY} --images images --out x.npy",
    "export": f"export {TINY} --formats paddle --out fresh",
    "predict": "predict net person.png --runtime paddle --out x.npy",
    "search": "search query index person.png",
    "cluster": "cluster --features f.npy --out x.csv",
    "convert-weights": "convert-weights net.safetensors x.safetensors -c tiny.yaml",
    "weights": "weights verify net.safetensors",
    "report": "report run --no-images --out x.html",
    "doctor": "doctor -c tiny.yaml --data-only",
    "config": "config -c tiny.yaml",
    "crops": "crops frames --boxes boxes.txt --per-second 25 --out x",
    "make-demo-data": f"make-demo-data {DEMO} --out demo",
}
ON_STANDARD_OUTPUT = {"ablate", "eval", "search", "doctor", "config", "crops", "weights"}
"""Commands that say results there."""
every_command = pytest.mark.parametrize("name", COMMANDS)


def test_the_table_has_every_command():
    assert set(COMMANDS) == set(VERBS)


@contextmanager
def standard_streams(closed=(), full=()):
    """Let descriptors be closed or full, with what the interpreter makes of these when it starts."""
    for handler in list(logger.handlers):  # what an earlier command of this process has left
        logger.removeHandler(handler)
    kept = {number: os.dup(number) for number in range(3)}
    streams = sys.stdin, sys.stdout, sys.stderr
    inner = []
    try:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            if number in closed:
                os.close(number)
                setattr(sys, name, None)
            elif number in full:
                device = os.open("/dev/full", os.O_WRONLY)
                os.dup2(device, number)
                os.close(device)
                inner.append(io.TextIOWrapper(io.FileIO(number, "w", closefd=False), line_buffering=number == 2))
                setattr(sys, name, inner[-1])
                if number == 2:
                    sys.__stderr__ = inner[-1]
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


@pytest.fixture(autouse=True)
def _interpreter_as_before(monkeypatch):
    """What `standard_streams` changes of the interpreter."""
    monkeypatch.setattr(sys, "__stderr__", sys.__stderr__)
    before = logger.handlers[:], logger.propagate, logging.getLogger().level
    yield
    logger.handlers[:], logger.propagate = before[:2]


def ended(command, **streams):
    with standard_streams(**streams):
        return main(command.split())


@every_command
def test_closed_streams_cost_nothing_but_what_is_said(name, everything):
    closed = ended(COMMANDS[name], closed=(0, 1, 2))
    assert closed == (8 if name in ("config", "weights") else 0)  # whose text has no other place


@every_command
def test_full_streams_end_with_what_could_not_be_written(name, everything):
    assert ended(COMMANDS[name], full=(1, 2)) == (8 if name in ON_STANDARD_OUTPUT else 0)


def test_a_full_standard_error_alone_costs_nothing(everything, capfd):
    assert ended(COMMANDS["search"], full=(2,)) == 0


def test_results_without_a_standard_output_are_said_on_standard_error(everything, capfd):
    assert ended(COMMANDS["search"], closed=(1,)) == 0
    assert "person.png" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "redirection", "code"),
    [
        ("--help", ">&-", 0),  # said on standard error then
        ("--help", ">/dev/full 2>/dev/full", 8),
        ("config --list eps", "<&- >&- 2>&-", 8),
        ("config --list eps", ">/dev/full", 8),
        ("config --list eps", "<&- 2>&-", 0),
        ("trian", "<&- >&- 2>&-", 2),
        ("trian", "2>/dev/full", 2),
    ],
)
def test_a_process_ends_as_documented(arguments, redirection, code, tmp_path):
    script = f'"{sys.executable}" -m ppreid.cli {arguments} > out 2> err {redirection}'
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, timeout=120)
    said = (tmp_path / "out").read_text() + (tmp_path / "err").read_text()
    assert done.returncode == code, said
    assert "Traceback" not in said and "Exception ignored" not in said


CTRL_C = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
class CtrlC:
    def find_spec(self, name, *_):
        if name == sys.argv[1]: os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
from ppreid.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("ppreid.run.log", "config --list eps"),
        ("argparse", "config --list eps"),
        ("pydantic", "config --list eps"),
        ("numpy", "cluster --features f.npy"),
        ("paddle", "doctor --environment-only"),
    ],
)
def test_ctrl_c_while_a_module_is_imported_is_no_traceback(module, arguments, tmp_path):
    command = [sys.executable, "-c", CTRL_C, module, *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU, signal.SIGINT, signal.SIGTERM])
def test_a_training_saves_and_ends_with_the_code_of_the_signal(number, everything, monkeypatch, capsys):
    real = keeper.epoch_row

    def interrupting(*facts):
        os.kill(os.getpid(), number)
        return real(*facts)

    monkeypatch.setattr(keeper, "epoch_row", interrupting)
    assert main(COMMANDS["train"].split()) == 128 + number
    error = capsys.readouterr().err
    assert f"stopped by {number.name}; --resume goes on" in error and "Traceback" not in error
    assert Path("fresh", LAST).exists()


@pytest.mark.parametrize("name", ["eval", "cluster"])
def test_sigint_and_sigterm_at_once_are_no_traceback(name, made_once):
    """Both wait while they are blocked, and come at once in the middle of the command."""
    script = (
        "import os, signal, sys; from ppreid import cli\n"
        "numbers = {signal.SIGINT, signal.SIGTERM}\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, numbers)\n"
        "real = cli.verb_module\n"
        "def module(name):\n"
        "    for number in numbers: os.kill(os.getpid(), number)\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)\n"
        "    return real(name)\n"
        "cli.verb_module = module\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *COMMANDS[name].split()]
    done = subprocess.run(command, cwd=made_once, capture_output=True, text=True, timeout=120)
    assert done.returncode in (-signal.SIGTERM, 143, 130)
    assert "Traceback" not in done.stderr


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from ppreid.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("module", "package", "name"),
    [
        ("paddle", "paddlepaddle or paddlepaddle-gpu", "train"),
        ("yaml", "PyYAML", "config"),
    ],
)
def test_a_missing_package_is_said_as_the_doctor_says_it(module, package, name, made_once):
    command = [sys.executable, "-c", MISSING, module, *COMMANDS[name].split()]
    done = subprocess.run(command, cwd=made_once, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "packages are missing or broken" in done.stderr and f"{module} cannot be imported" in done.stderr
    assert f"install {package}: pip install -r " in done.stderr  # this is a checkout


def test_the_advice_of_an_installed_package_does_not_name_files_of_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "site-packages" / "ppreid" / "doctor" / "machine.py"))
    findings = machine.check_packages({"no_such_module": "no-such-package"})
    assert findings[-1].advice == (
        'install no-such-package: pip install "ppreid[cpu]", or "ppreid[gpu]" with an NVIDIA GPU'
    )
