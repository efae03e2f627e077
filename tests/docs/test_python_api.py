"""The programs in docs/python-api.md are run as they stand, on tiny data; the notebooks of examples/ are executed."""

import re
import shutil

import pytest
from pages import ROOT, code_blocks

import ppreid
from ppreid.api import runs

TEXT = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
PROGRAMS = [block for language, block in code_blocks(TEXT) if language == "python"]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture
def around(tiny_config, tiny_root, tmp_path, monkeypatch):
    """A folder with a run and crops, where demo is the tiny data."""
    real = runs.load_config
    tiny = ["labels.eps=0.6", "labels.k1=5"]
    monkeypatch.setattr(
        runs, "load_config", lambda name, texts: real(tiny_config if str(name) == "demo" else name, [*tiny, *texts])
    )
    monkeypatch.chdir(tmp_path)
    ppreid.train("demo", {"solver.epochs": 1, "output_dir": "output/demo"})
    shutil.copytree(tiny_root / "demo" / "bounding_box_test", "crops")


def test_the_programs_run_one_after_the_other(around):
    names = {}
    for program in PROGRAMS:
        exec(compile(program, "docs/python-api.md", "exec"), names)  # noqa: S102 - our own page
    assert names["features"].shape == (2, names["person"].dim)
    assert names["similarity"] == pytest.approx(1)
    assert len(names["found"][0].matches) == 5
    assert names["clusters"].num_clusters > 1
    assert [row["epoch"] for row in names["result"].evaluations] == [0, 1, 2]


def test_the_page_names_every_function_for_programs():
    functions = {name for name, home in ppreid._HOMES.items() if home.startswith("api.")} - {"Person"}
    assert functions <= set(re.findall(r"ppreid\.(\w+)\(", TEXT))
