"""What `make release-check` looks at once it has built, and that workflows run what was pinned, with few rights."""

import importlib.util
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from types import SimpleNamespace

import pytest
import yaml
from packaging.metadata import Metadata
from pages import ROOT

from ppreid import __version__ as VERSION

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# rights to write that a job may have, and why
WRITES = {
    ("release.yml", "attest"): {"attestations", "id-token"},  # signs
    ("release.yml", "publish"): {"id-token"},  # is known to the registry by it
}


def load(name):
    """A module of .ci, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


parts = load("parts")
release = load("release")


def uses(text):
    """What a workflow uses, with the comment behind it."""
    return re.findall(r"^\s*-? *uses: *(.+?)\s*$", text, re.MULTILINE)


def rights(content, name):
    """Rights to write of every job, {job: names}; of the whole workflow under ""."""
    jobs = {"": content.get("permissions", "write-all")} | {
        job: each.get("permissions", {}) for job, each in content["jobs"].items()
    }
    for job, given in jobs.items():
        if isinstance(given, str):
            yield (name, job), {given}
        else:
            yield (name, job), {right for right, value in given.items() if value == "write"}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_use_pinned_actions_and_write_only_where_they_must(file):
    text = file.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert uses(text) and all(PINNED.fullmatch(action) for action in uses(text))
    for place, found in rights(content, file.name):
        assert found == WRITES.get(place, set()), place
    for job in content["jobs"].values():
        for step in job["steps"]:
            if "checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False  # or every later step could push


def test_the_same_action_is_the_same_commit_everywhere():
    commits = {}
    for file in WORKFLOWS:
        for action in uses(file.read_text(encoding="utf-8")):
            commits.setdefault(action.partition("@")[0], set()).add(action)
    assert len(commits) > 6 and all(len(found) == 1 for found in commits.values())


@pytest.mark.parametrize("action", ["actions/checkout@v4", "actions/checkout@11bd719", f"a/b@{'0' * 40}"])
def test_what_is_not_pinned_would_be_noticed(action):
    assert not PINNED.fullmatch(uses(f"    - uses: {action}\n")[0])


def test_a_job_that_signs_runs_nothing_of_the_repository():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    for name in ("attest", "publish"):
        assert not any("checkout" in step.get("uses", "") for step in jobs[name]["steps"])
    assert jobs["attest"]["needs"] == "build" and jobs["publish"]["needs"] == "attest"
    assert any(step.get("run", "").startswith("make release-check TAG=") for step in jobs["build"]["steps"])


def archive(names, *, mtime, user):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.mode = len(name), mtime + 0.5, user, 0o600
            file.addfile(member, io.BytesIO(name.encode()))
    return content.getvalue()


def test_two_archives_of_the_same_files_become_the_same_bytes():
    one, other = archive(["b", "a"], mtime=1e9, user="me"), archive(["a", "b"], mtime=1.5e9, user="you")
    assert one != other
    same = release.same_archive(one, epoch=1_600_000_000)
    assert same == release.same_archive(other, epoch=1_600_000_000)
    assert same != release.same_archive(archive(["a", "c"], mtime=1e9, user="me"), epoch=1_600_000_000)
    with tarfile.open(fileobj=io.BytesIO(same)) as file:
        assert [file.extractfile(member).read() for member in file.getmembers()] == [b"a", b"b"]


TRACKED = ["ppreid/__init__.py", "ppreid/py.typed", "configs/demo.yaml", "tests/test_a.py", "data/README.md"]
METADATA = """\
Metadata-Version: 2.4
Name: ppreid
Version: 0.1.0
Summary: People
Author: The ppreid authors
License-Expression: Apache-2.0
License-File: LICENSE
Project-URL: Paper, https://arxiv.org/abs/2204.06892
Keywords: people
Classifier: Typing :: Typed
Classifier: Programming Language :: Python :: 3.10
Classifier: Programming Language :: Python :: 3.11
Classifier: Programming Language :: Python :: 3.12
Classifier: Programming Language :: Python :: 3.13
Requires-Python: >=3.10
Description-Content-Type: text/markdown
Provides-Extra: cpu
Provides-Extra: gpu
Requires-Dist: numpy>=1.24

About people.
"""


def wheel(path, names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "")
        file.writestr("ppreid-0.1.0.dist-info/METADATA", METADATA)
        file.writestr("ppreid-0.1.0.dist-info/entry_points.txt", "[console_scripts]\nppreid = ppreid.cli:main\n")
    return path


def test_a_wheel_holds_the_package_and_the_configurations_and_nothing_else(tmp_path):
    right = ["ppreid/__init__.py", "ppreid/py.typed", "ppreid/configs/demo.yaml"]
    assert str(release.check_wheel(wheel(tmp_path / "right.whl", right), TRACKED).version) == "0.1.0"
    for missing in right:
        with pytest.raises(release.ReleaseError, match=f"lacks {re.escape(missing)}"):
            release.check_wheel(wheel(tmp_path / "less.whl", set(right) - {missing}), TRACKED)
    with pytest.raises(release.ReleaseError, match=r"more than the package: tests/test_a\.py"):
        release.check_wheel(wheel(tmp_path / "more.whl", [*right, "tests/test_a.py"]), TRACKED)


def check_text(text, *, published=False):
    metadata = Metadata.from_email(text.encode(), validate=True)
    known = {line.partition(": ")[2] for line in METADATA.splitlines() if line.startswith("Classifier")}
    release.check_metadata(metadata, version="0.1.0", known_classifiers=known, published=published)


@pytest.mark.parametrize(
    ("line", "other", "message"),
    [
        ("Version: 0.1.0", "Version: 0.2.0", "Version: found 0.2.0, expected 0.1.0"),
        ("License-Expression: Apache-2.0", "License-Expression: MIT", "License-Expression"),
        ("Author: The ppreid authors\n", "", "empty fields: found .'author'"),
        ("Classifier: Typing :: Typed", "Classifier: Typing :: Yes", "do not exist: found .'Typing :: Yes'"),
        ("Classifier: Programming Language :: Python :: 3.13\n", "", "Classifier .Python."),
        ("Requires-Python: >=3.10", "Requires-Python: >=3.11", "Requires-Python"),
        ("Requires-Dist: numpy>=1.24", "Requires-Dist: a @ https://example.org/a.whl", "that are addresses"),
        ("Provides-Extra: gpu\n", "", "extras cpu and gpu: found .'gpu'"),
        ("https://arxiv", "http://arxiv", "Project-URL"),
    ],
)
def test_wrong_metadata_are_refused_with_what_is_wrong(line, other, message):
    check_text(METADATA)
    assert line in METADATA
    with pytest.raises(release.ReleaseError, match=message):
        check_text(METADATA.replace(line, other))


def test_a_release_says_where_its_source_is():
    with pytest.raises(release.ReleaseError, match="PPREID_REPOSITORY"):
        check_text(METADATA, published=True)


@pytest.mark.parametrize(
    ("heading", "tag", "message"),
    [
        ("## 0.1.0 (unreleased)", "", None),
        ("## 0.1.0 (2026-12-01)", "v0.1.0", None),
        ("## 0.2.0 (unreleased)", "", "no heading '## 0.1.0"),
        ("## 0.1.0 (soon)", "", "no heading"),
        ("## 0.1.0 (unreleased)", "v0.1.0", "write its date"),
        ("## 0.1.0 (2026-12-01)", "v0.1.1", "the tag is v0.1.1"),
    ],
)
def test_the_changes_of_a_release_have_its_version_and_a_date(heading, tag, message):
    text = f"# Changes\n\n{heading}\n\nFirst version.\n"
    if message is None:
        release.check_changelog(text, version="0.1.0", tag=tag)
        return
    with pytest.raises(release.ReleaseError, match=message):
        release.check_changelog(text, version="0.1.0", tag=tag)


def distribution(name, version, *requires, **fields):
    metadata = Message()
    metadata["Name"] = name
    for field, value in fields.items():
        metadata[field.replace("_", "-")] = value
    return SimpleNamespace(metadata=metadata, version=version, requires=list(requires))


INSTALLED = {
    "paddle": distribution("paddle", "3.0", "numpy>=1", "httpx[fast]; sys_platform != 'none'", License="Apache 2.0"),
    "numpy": distribution("numpy", "2.1", License_Expression="BSD-3-Clause"),
    "httpx": distribution("httpx", "0.1", "quick; extra == 'fast'", "slow; extra == 'slow'", "paddle"),
    "quick": distribution("quick", "1", Classifier="License :: OSI Approved :: MIT License"),
    "other": distribution("other", "1"),
}
OURS = ["numpy>=2", "paddle<4; extra == 'cpu'", "paddle-gpu; extra == 'gpu'"]


def test_the_list_of_parts_follows_requirements_extras_and_markers():
    graph = parts.resolve(OURS, INSTALLED, "cpu")
    assert graph == {
        "ppreid": {"numpy", "paddle"},
        "paddle": {"numpy", "httpx"},
        "numpy": set(),
        "httpx": {"quick", "paddle"},  # a circle ends
        "quick": set(),
    }
    metadata = Metadata.from_email(METADATA.encode())
    found = parts.parts(metadata, graph, INSTALLED, 1_600_000_000)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert found["metadata"]["timestamp"] == "2020-09-13T12:26:40Z"
    references = [each["bom-ref"] for each in found["components"]]
    assert references == ["pkg:pypi/httpx@0.1", "pkg:pypi/numpy@2.1", "pkg:pypi/paddle@3.0", "pkg:pypi/quick@1"]
    assert [each["licenses"] for each in found["components"]] == [
        [],
        [{"expression": "BSD-3-Clause"}],
        [{"license": {"name": "Apache 2.0"}}],
        [{"license": {"name": "MIT License"}}],
    ]
    assert {"ref": "pkg:pypi/ppreid@0.1.0", "dependsOn": ["pkg:pypi/numpy@2.1", "pkg:pypi/paddle@3.0"]} in found[
        "dependencies"
    ]
    again = parts.parts(metadata, graph, INSTALLED, 1_600_000_000)
    later = parts.parts(metadata, graph, INSTALLED, 1_700_000_000)
    assert found == again and found["serialNumber"] != later["serialNumber"]


@pytest.mark.parametrize(
    ("ours", "extra", "message"),
    [(OURS, "gpu", "paddle-gpu.*nothing is installed"), (["numpy<2"], "cpu", "ppreid needs numpy<2, but 2.1 is")],
)
def test_requirements_that_are_not_there_are_an_error(ours, extra, message):
    with pytest.raises(parts.ReleaseError, match=message):
        parts.resolve(ours, INSTALLED, extra)


def test_the_readme_leads_to_the_repository_where_it_is_known():
    """On a registry's page, links inside of the repository would lead nowhere."""
    environment = os.environ | {"PPREID_REPOSITORY": "https://example.org/them/ppreid/"}
    command = [sys.executable, "-W", "ignore", "setup.py", "--long-description"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    links = re.findall(r"\]\(([^)]+)\)", done.stdout)
    assert f"https://example.org/them/ppreid/blob/v{VERSION}/docs/installation.md" in links
    assert f"https://example.org/them/ppreid/raw/v{VERSION}/docs/images/demo_people.jpg" in links
    assert all(link.startswith(("https://", "#")) for link in links)
