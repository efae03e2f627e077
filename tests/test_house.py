"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import law
import measure
import pytest
import source
from law import FILE_LINES, FUNCTION_LINES, LIMITS, LOOSE_TESTS, PACKAGE, ROOT

from ppreid.cli import VERBS

FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = law.floors()
CONFIGURED = ("config", "wiring", "verbs", "api", "cli")  # all others take plain keyword arguments


def room_of(module: str) -> str:
    """First part below the package: "ppreid.ise.memory" -> "ise", "ppreid.config.load" -> "config"."""
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


def test_contributing_states_the_law_that_is_checked():
    assert law.stated_limits() == [limit.row() for limit in LIMITS.values()]
    assert law.stated_lengths() == (FILE_LINES, FUNCTION_LINES, LOOSE_TESTS)


# limits that the package does not keep yet
NOT_YET = {"files", "lines"}
MEASURED = measure.read_from_source()


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_the_package_keeps_its_limits(name):
    limit, number = LIMITS[name], MEASURED[name]
    assert limit.is_kept_by(number) or name in NOT_YET, f"{limit.what}: {limit.text(number)}"


def test_the_table_of_the_house_has_every_room_and_no_other():
    assert set(FLOORS) == {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}


def test_tests_mirror_the_rooms():
    folders = {file.parent.name for file in (ROOT / "tests").glob("*/test_*.py")}
    assert folders <= {*FLOORS, "docs", "reliability", "house"}, "a folder of tests has the name of a room"
    assert len(list((ROOT / "tests").glob("*.py"))) <= LOOSE_TESTS


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_imports_only_from_lower_floors_or_its_own_room(file):
    own = room_of(f"ppreid.{file.relative_to(PACKAGE).parts[0].removesuffix('.py')}")
    assert own in FLOORS, f"the table of the house in CONTRIBUTING.md does not say where {own} is"
    for module in imports_of(file):
        room = room_of(module)
        is_lower = FLOORS[room] < FLOORS[own]
        assert room == own or is_lower, f"{own} must not import {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_and_functions_stay_short_and_documented(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE_LINES, "move something out"
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "what is this file?"
    for name, lines in source.functions(text):
        assert lines <= FUNCTION_LINES, f"{name} has {lines} lines of code"


def test_only_wiring_and_verbs_know_configurations():
    for file in FILES:
        if room_of(f"ppreid.{file.relative_to(PACKAGE).parts[0].removesuffix('.py')}") in CONFIGURED:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
            assert name not in ("cfg", "args"), f"{file} reads a configuration in line {node.lineno}"


# what the arguments of a verb may need: nothing of it is slow to import
FOR_ARGUMENTS = (
    "base",
    "config",
    "disk.files",
    "disk.places",
    "disk.checks",
    "disk.outputs",
    "disk.csv_table",
    "run.log",
    "verbs.command",
    "report.ablation_table",
)
FOR_ARGUMENTS += ("doctor.findings", "doctor.machine", "tables", "verbs.config_reference")


@pytest.mark.parametrize("name", sorted({verb.module for verb in VERBS.values()}))
def test_a_verb_imports_what_it_works_with_only_when_it_runs(name):
    tree = ast.parse((PACKAGE / "verbs" / f"{name}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("ppreid."):
            assert node.module.startswith(tuple(f"ppreid.{part}" for part in FOR_ARGUMENTS)), node.module
        elif isinstance(node, ast.ImportFrom | ast.Import):
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            assert module.split(".")[0] in sys.stdlib_module_names, module


def test_importing_the_package_or_reading_a_config_imports_neither_paddle_nor_numpy():
    code = (
        "import sys, ppreid, ppreid.config.load, ppreid.cli; ppreid.config.load.load_config('demo.yaml'); "
        "bad = {'paddle', 'numpy', 'faiss', 'numba', 'sklearn'} & set(sys.modules); sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_evaluates_text_or_loads_pickles():
    for file in FILES:
        of_the_command_line = {"exec"} if file == PACKAGE / "base" / "plugins.py" else set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                refused = {"eval", "exec", "pickle.load", "pickle.loads", "paddle.load"} - of_the_command_line
                assert name not in refused, file


# Files that are written in another way than by ppreid.disk.files, and why that does no harm.
OTHER_WRITERS = {
    ("disk/files.py", "open"): "the writer itself",
    ("disk/files.py", "replace"): "the writer itself",
    ("disk/places.py", "open"): "streams, where there is nothing to replace, and temporary files of the writer",
    ("disk/feature_writer.py", "open"): "unfinished features; their progress file says which rows are on the disk",
    ("run/folder.py", "replace"): "moves a run aside and back, within its folder; a kill at any rename is tested",
    ("weights/fetch.py", "open"): "an unfinished download, under another name until it is complete and was looked at",
    ("run/lock.py", "open"): "the lock, which is the kernel's; an empty or half-written file is nobody's",
    ("export/inference.py", "open"): "/dev/null",
    ("run/log.py", "open"): "/dev/null",
    ("export/inference.py", "save"): "a folder of its own under the temporary folder, gone at the end",
    ("export/write.py", "write_bytes"): "the same; what is exported is then copied by the writer",
    ("demo/generated.py", "save"): "a temporary folder that is renamed when all pictures are there",
    ("demo/generated.py", "write_text"): "the same folder",
    ("demo/generated.py", "rename"): "the same folder",
    ("demo/unlabelled.py", "copyfile"): "the same way",
    ("demo/unlabelled.py", "rename"): "the same way",
    ("demo/recorded.py", "write_text"): "a temporary folder that is renamed when all recordings are there",
    ("demo/recorded.py", "rename"): "the same folder",
}
WRITERS = {"save", "savez", "savez_compressed", "savetxt", "savefig", "write_text", "write_bytes", "tofile", "imwrite"}
WRITERS |= {"save_file", "open_memmap", "to_csv", "copy", "copy2", "copyfile", "copytree", "move", "rename", "replace"}


def safe_targets(tree: ast.Module) -> set[str]:
    """Names of what the durable writer opened ("with replacing(path) as file"), and of bytes in memory."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and ast.unparse(node.context_expr).startswith("replacing("):
            names.add(ast.unparse(node.optional_vars))
        elif isinstance(node, ast.Assign) and ast.unparse(node.value) in ("BytesIO()", "io.BytesIO()"):
            names.add(ast.unparse(node.targets[0]))
    return names


def writes_directly(call: ast.Call, safe: set[str]) -> bool:
    """Whether a call may write a file at a path of its own."""
    owner, _, name = ast.unparse(call.func).rpartition(".")
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if name == "open":
        texts = [node.value for part in arguments for node in ast.walk(part) if isinstance(node, ast.Constant)]
        modes = [text for text in texts if isinstance(text, str) and re.fullmatch(r"[rwaxbt+]{1,3}", text)]
        read_only = any("O_RDONLY" in ast.unparse(part) for part in arguments)
        return (owner == "os" and not read_only) or any(set(mode) & set("wax+") for mode in modes)
    if name not in WRITERS or (name == "replace" and owner != "os") or (name == "copy" and owner != "shutil"):
        return False
    return bool(owner) and not any(ast.unparse(argument) in safe for argument in arguments)


def test_only_the_durable_writer_writes_files():
    found = set()
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        safe = safe_targets(tree)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and writes_directly(node, safe)]
        place = file.relative_to(PACKAGE).as_posix()
        found |= {(place, ast.unparse(call.func).rpartition(".")[2]) for call in calls}
    assert found <= set(OTHER_WRITERS), "write through ppreid.disk.files, or say here why not"


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("open(path, 'w')", True),
        ("open(path, 'r+b' if start else 'wb')", True),
        ("path.open(mode='a')", True),
        ("os.open(path, os.O_RDWR)", True),
        ("path.write_text(text)", True),
        ("np.save(path, array)", True),
        ("figure.savefig(path)", True),
        ("with replacing(path) as file: figure.savefig(file)", False),
        ("open(path)", False),
        ("open(path, 'rb')", False),
        ("write_text(path, text)", False),
        ("text.replace('a', 'b')", False),
    ],
)
def test_the_check_for_writers_finds_what_it_must(code, is_found):
    tree = ast.parse(code)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert any(writes_directly(call, safe_targets(tree)) for call in calls) == is_found
