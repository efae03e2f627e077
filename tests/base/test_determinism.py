"""Determinism is asked for before paddle is there to be asked."""

import subprocess
import sys

import pytest

from ppreid.base.environment import DETERMINISTIC, ask_for_determinism, missing_for_determinism
from ppreid.base.errors import ConfigError
from ppreid.cli import main
from ppreid.processes.device import require_determinism
from ppreid.verbs import train

COMMAND = """
import os, sys
from ppreid import cli
seen = {}
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "paddle":
            seen.update(os.environ)
sys.meta_path.insert(0, Watch())
code = cli.main(["train", "-c", sys.argv[1], "-o", "data.root=missing", "-o", "deterministic=true"])
from ppreid.cli import main
from ppreid.verbs import train
from ppreid.base.environment import DETERMINISTIC
print(code, {name: seen.get(name) for name in DETERMINISTIC} == dict(DETERMINISTIC))
"""


def test_the_command_line_sets_the_variables_before_paddle_is_imported(tiny_config):
    arguments = [sys.executable, "-c", COMMAND, str(tiny_config)]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert found == "3 True"


def test_nothing_is_set_unless_asked_for(tiny_config, monkeypatch):
    monkeypatch.setattr(train, "ask_for_determinism", lambda: pytest.fail("nobody asked"))
    assert main(["train", "-c", str(tiny_config), "-o", "data.root=missing"]) == 3


def test_what_is_missing_is_named_and_nothing_is_after_asking():
    environment = {"FLAGS_cudnn_deterministic": "0", "HOME": "/"}
    assert len(missing_for_determinism(environment)) == len(DETERMINISTIC)
    ask_for_determinism(environment)
    assert missing_for_determinism(environment) == [] and environment["HOME"] == "/"


def test_asking_too_late_is_an_error_on_a_gpu_only(monkeypatch):
    for name in DETERMINISTIC:
        monkeypatch.delenv(name, raising=False)
    require_determinism("cpu")
    with pytest.raises(ConfigError, match=r"FLAGS_cudnn_deterministic=1, .* was not in the environment"):
        require_determinism("gpu:0")
    for name, value in DETERMINISTIC.items():
        monkeypatch.setenv(name, value)
    require_determinism("gpu:0")
