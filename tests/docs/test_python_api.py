"""The programs in docs/python-api.md are run as they stand, on tiny data; the notebooks of examples/ are executed."""

import os
import re
import shutil
import sys

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
    for part in ("query", "bounding_box_test"):
        shutil.copytree(tiny_root / "demo" / part, "crops", dirs_exist_ok=True)


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


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    content = nbformat.read(notebook, as_version=4)
    assert not any(cell.get("outputs") for cell in content.cells), "outputs do not belong into the repository"
    NotebookClient(content, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output.data for cell in content.cells for output in cell.get("outputs", []) if "data" in output]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert any("<table" in page for page in pages)
    if notebook.stem == "own_cameras":
        assert any(page.count('src="data:image/jpeg;base64,') > 10 for page in pages)


def test_the_page_links_every_notebook():
    assert len(NOTEBOOKS) == 2
    assert all(f"(../examples/{notebook.name})" in TEXT for notebook in NOTEBOOKS)
