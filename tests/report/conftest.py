"""Pages of a run that never was, and a browser to open them."""

from pathlib import Path
from typing import NamedTuple

import pytest
from chromium import Chromium, find_chromium
from invented import CAMERAS, HOSTILE, PEOPLE, SHOTS, invented_evidence, invented_run
from PIL import Image

from ppreid.base.records import ImageRecord
from ppreid.report.comparison import comparison_page
from ppreid.report.page import run_page


class Pages(NamedTuple):
    run: Path
    comparison: Path


@pytest.fixture(scope="session")
def people(tmp_path_factory) -> tuple[ImageRecord, ...]:
    """Images of PEOPLE x CAMERAS x SHOTS; their names are hostile, the last cannot be read."""
    folder = tmp_path_factory.mktemp("people")
    records = []
    for pid in range(1, PEOPLE + 1):
        for camid in range(CAMERAS):
            for shot in range(SHOTS):
                path = folder / f"{HOSTILE}{pid}_{camid}_{shot}.jpg"
                Image.new("RGB", (16, 32), (40 * pid, 80 * camid, 50 * shot)).save(path)
                records.append(ImageRecord(str(path), pid, camid))
    Path(records[-1].path).write_bytes(b"no image")
    return tuple(records)


@pytest.fixture(scope="session")
def pages(people, tmp_path_factory) -> Pages:
    """A page of one run and a comparison of two."""
    folder = tmp_path_factory.mktemp("pages")
    found = Pages(folder / "run.html", folder / "comparison.html")
    page = run_page(invented_run(f"run {HOSTILE}"), invented_evidence(people), reference={"seed": 1})
    found.run.write_text(page, encoding="utf-8")
    runs = [("first", invented_run("first")), (HOSTILE, invented_run("second", epochs=7))]
    found.comparison.write_text(comparison_page(runs), encoding="utf-8")
    return found


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium."""
    program = find_chromium()
    if program is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    browser = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
