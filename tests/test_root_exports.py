"""What users call comes from the root of the package, and costs nothing until it is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ppreid

NAMES = sorted(set(ppreid.__all__) - {"__version__"})


def test_importing_the_root_loads_no_library():
    code = (
        "import sys, ppreid; dir(ppreid); print({'paddle', 'numpy', 'numba', 'scipy', 'pydantic'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_object_of_its_home(name):
    exported = getattr(ppreid, name)
    assert exported.__name__ == name
    assert exported is getattr(sys.modules[exported.__module__], name)
    assert exported.__module__.startswith("ppreid.")


def test_type_checkers_are_told_the_same():
    tree = ast.parse(Path(ppreid.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {(alias.asname, f"ppreid.{ppreid._HOMES[alias.asname]}") for node in block.body for alias in node.names}
    assert told == {(alias.name, node.module) for node in block.body for alias in node.names}
    assert {name for name, _ in told} == set(NAMES)


def test_an_export_hides_no_room():
    rooms = {path.stem for path in Path(ppreid.__file__).parent.iterdir()}
    assert not rooms & set(NAMES)  # importing such a room would replace the function


def test_other_names_are_unknown_and_all_names_are_listed():
    with pytest.raises(AttributeError, match="module 'ppreid' has no attribute 'jaccard'"):
        ppreid.jaccard  # noqa: B018 - asked for, not used
    assert set(NAMES) <= set(dir(ppreid))
