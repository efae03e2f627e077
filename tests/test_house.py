"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ppreid

PACKAGE = Path(ppreid.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ("datasets", "models", "clustering", "ise", "evaluation", "runtimes")
FLOORS = {"engine": 2, "doctor": 2, "report": 3, "build": 4, "inputs": 5, "app": 6, "commands": 7, "cli": 8}
FLOORS |= {"predict": 4}  # knows nothing of training, see tests/test_predict.py
FLOORS |= dict.fromkeys(ROOMS, 1)


def room_of(module: str) -> str:
    """First part below the package: "ppreid.ise.memory" -> "ise", "ppreid.config" -> "config"."""
    return module.split(".")[1] if "." in module else ""


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "ppreid"}
    return {name for name in found if name.startswith("ppreid.")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_imports_only_from_lower_floors_or_its_own_room(file):
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports_of(file):
        room = room_of(module)
        is_lower = FLOORS.get(room, 0) < FLOORS.get(own, 0) or FLOORS.get(room, 0) == FLOORS.get(own, 0) == 0
        assert room == own or is_lower, f"{own} must not import {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_and_functions_stay_short_and_documented(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 230, "move something out"
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "what is this file?"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            lines = node.end_lineno - node.lineno - len(docstring.splitlines())
            assert lines <= 60, f"{node.name} has {lines} lines without its docstring"


def test_rooms_do_not_read_configurations():
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] in (*ROOMS, "engine", "doctor", "report"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"\b(cfg|self\.config|args)\b\.", text), f"{file} reads a configuration"


def test_importing_the_package_or_reading_a_config_imports_neither_paddle_nor_numpy():
    code = (
        "import sys, ppreid, ppreid.config, ppreid.cli; ppreid.config.load_config('demo.yaml'); "
        "bad = {'paddle', 'numpy', 'faiss', 'numba', 'sklearn'} & set(sys.modules); sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_evaluates_text_or_loads_pickles():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"eval", "exec", "pickle.load", "pickle.loads", "paddle.load"}, file
