"""The Dockerfiles are read, since nothing here can build them: what is in them is what the docs and the package say."""

import re

import pytest
from pages import ROOT

from ppreid.doctor.gpu_build import KNOWN_BUILDS

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def instructions(file):
    """(name, words) of every instruction, in their order."""
    text = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_image_is_named_small_and_runs_as_nobody_special(file):
    found = instructions(file)
    names = [name for name, _ in found]
    assert set(names) <= {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT"}
    assert names[0] == "FROM" and names.count("FROM") == 1
    image = found[0][1]
    assert re.fullmatch(r"[\w/.-]+:[\w.-]*\d[\w.-]*", image), f"{image} is another image every month"
    assert dict(found)["USER"] == "ppreid" and names.index("USER") > max(
        place for place, name in enumerate(names) if name == "RUN"
    )
    assert dict(found)["ENTRYPOINT"] == '["ppreid"]'
    for name, words in found:
        if name == "RUN" and "apt-get" in words:
            assert "--no-install-recommends" in words and "rm -rf /var/lib/apt/lists/*" in words
        if name == "RUN" and "pip install" in words:
            assert "--no-cache-dir" in words


def test_each_installs_its_extra_and_the_gpu_has_the_cuda_of_its_paddle():
    by_name = {file.name: instructions(file) for file in FILES}
    for name in ("cpu", "gpu"):
        text = " ".join(words for _, words in by_name[f"{name}.Dockerfile"])
        assert re.findall(r"/opt/ppreid\[(\w+)\]", text) == [name]
        assert f'"{name}": [' in (ROOT / "setup.py").read_text(encoding="utf-8")
    ((_, cuda),) = KNOWN_BUILDS
    assert by_name["gpu.Dockerfile"][0][1].startswith(f"nvidia/cuda:{cuda}.")


def test_what_is_large_or_private_stays_out_of_the_context():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv*", "data/*", "output"} <= set(ignored)
