"""Requirements, continuous integration and the citation say the same as everything else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools  # noqa: F401 - brings distutils along
import yaml
from pages import ROOT
from test_doc_commands import check

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
STEPS = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]


def pins(name, operator):
    """Package -> version behind the operator, for the lines of a requirements file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(rf"^([\w-]+){operator}([\d.]+)", text, re.MULTILINE))


def same_version(one, other):
    """10 and 10.0.0 are the same."""
    return [int(part) for part in re.sub(r"(\.0)+$", "", one).split(".")] == [
        int(part) for part in re.sub(r"(\.0)+$", "", other).split(".")
    ]


def test_the_oldest_versions_are_the_lower_bounds():
    oldest, bounds = pins("requirements-min.txt", "=="), pins("requirements.txt", ">=")
    assert oldest.keys() == bounds.keys()
    for name, version in bounds.items():
        assert same_version(oldest[name], version), name


def test_the_extras_of_a_wheel_are_the_requirements_of_their_device():
    """Whoever installs ppreid[gpu] gets numpy 1 with paddle 2.6, as with the file."""
    program = "import setuptools; setuptools.setup = lambda **given: print(*given['extras_require'][extra], sep='\\n')"
    for extra, name in (("cpu", "requirements.txt"), ("gpu", "requirements-gpu.txt")):
        text = f"extra = {extra!r}; __file__ = 'setup.py'; {program}; exec(open('setup.py').read())"
        done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        wanted = {
            line for line in lines if line.startswith(("paddle", "faiss")) or (extra, line[:5]) == ("gpu", "numpy")
        }
        assert wanted and set(done.stdout.splitlines()) == wanted


def test_both_requirements_have_the_same_bounds():
    cpu, gpu = pins("requirements.txt", ">="), pins("requirements-gpu.txt", ">=")
    for name in cpu.keys() - {"paddlepaddle", "faiss-cpu"}:
        assert cpu[name] == gpu[name], name


@pytest.mark.parametrize("command", STEPS)
def test_every_step_of_the_workflow_could_be_run(command):
    assert check(command), command


def test_the_workflow_has_every_python_that_setup_supports_and_the_oldest_packages():
    assert re.search(r'python_requires=">=3.10"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert WORKFLOW["jobs"]["newest"]["strategy"]["matrix"]["python"][0] == "3.10"
    assert "pip install -r requirements-min.txt" in STEPS


def test_the_citation_names_version_licence_and_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    package = (ROOT / "ppreid" / "__init__.py").read_text(encoding="utf-8")
    assert citation["version"] == re.search(r'__version__ = "(.+?)"', package)[1]
    assert citation["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Implicit Sample Extension" in citation["references"][0]["title"]


def test_a_wheel_has_the_configurations_in_the_package_and_a_checkout_is_a_plain_path(tmp_path, monkeypatch):
    from distutils.core import run_setup

    monkeypatch.chdir(ROOT)
    dist = run_setup("setup.py", stop_after="init")
    assert dist.package_dir == {"": "."}  # what setuptools installs as a plain path with -e
    for is_editable in (False, True):
        build = dist.get_command_obj("build_py")
        build.build_lib, build.editable_mode = str(tmp_path), is_editable
        found = {Path(name).relative_to(tmp_path).as_posix() for name in build._configs().values()}
        files = {f"ppreid/configs/{file.name}" for file in (ROOT / "configs").iterdir()}
        assert found == (set() if is_editable else files)
