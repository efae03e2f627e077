"""The report of a run on a folder without labels: a recommendation that the sweep gives as well, and a verdict."""

import logging
import re
import shutil

import pytest

from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.run.folder import REPORT
from ppreid.verbs.report import report
from ppreid.verbs.train import train
from ppreid.wiring import unlabelled

SMALL = ["report.enabled=true", "report.queries=2", "report.clusters=2", "report.map_images=20"]


@pytest.fixture(scope="module")
def folder(tiny_root, write_tiny_config, tmp_path_factory):
    """Of a finished run of two epochs on a folder for each of two cameras, with its report."""
    own = tmp_path_factory.mktemp("unlabelled")
    for number, file in enumerate(sorted((tiny_root / "demo" / "bounding_box_train").iterdir())):
        camera = own / "crops" / file.name.split("_c")[1][0]
        camera.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, camera / f"{number:04d}.jpg")
    logger = logging.getLogger("ppreid")
    level = logger.level
    logger.setLevel(logging.INFO)
    keys = ["data.name=camera_folder", f"data.root={own / 'crops'}", *SMALL]
    train(load_config(write_tiny_config(own), keys))
    logger.setLevel(level)
    return own / "run"


@pytest.fixture
def run(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_the_report_of_training_ends_in_a_verdict_with_a_recommendation(folder):
    page = (folder / REPORT).read_text(encoding="utf-8")
    end = page.split("<section")[-1]
    assert end.startswith(' id="verdict"')
    assert re.search(
        r"Recommended: labels\.eps=0\.\d+ \(this run: 0\.6\), since|No labels\.eps can be recommended", end
    )
    assert "<pre><code>python tools/" in end and "No tracks tell error rates" in end


def test_it_recommends_what_the_sweep_recommends(folder, capsys):
    assert main(["cluster", str(folder), "--sweep", "eps=0.2:0.8:0.05"]) == 0
    what, reason = re.search(r"recommended: (labels\.eps=[\d.]+|none), since (.*)", capsys.readouterr().err).groups()
    page = (folder / REPORT).read_text(encoding="utf-8")
    assert f"Recommended: {what} (this run: 0.6), since {reason}." in page


def test_a_report_made_later_equals_the_one_of_training(run, folder):
    report([run])
    before, after = ((one / REPORT).read_text(encoding="utf-8") for one in (folder, run))
    before, after = (page.split("<main")[1].split("<pre><code>")[0] for page in (before, after))
    assert after == before


def test_more_images_than_a_sweep_is_worth_get_a_verdict_without_one(run, monkeypatch):
    monkeypatch.setattr(unlabelled, "MAX_IMAGES", 47)
    report([run])
    page = (run / REPORT).read_text(encoding="utf-8")
    assert 'id="verdict"' in page and "labels.eps=" not in page.split('id="verdict"')[1].split("<pre>")[0]
    assert page.split('id="points"')[1].split("</svg>")[0].count("<circle") == 20


def test_without_images_the_verdict_stays(run):
    report([run], images=False)
    page = (run / REPORT).read_text(encoding="utf-8")
    assert 'id="verdict"' in page and "Recommended" not in page


def test_rank_lists_show_images_of_other_cameras_and_mark_those_of_the_same_cluster(folder):
    page = (folder / REPORT).read_text(encoding="utf-8")
    lists = page.split('id="ranking"')[1].split("</section>")[0].split("<li ")[1:]
    assert len(lists) == 6 and {re.search('data-kind="([a-z]+)"', item)[1] for item in lists} == {
        "random",
        "worst",
        "best",
    }
    for item in lists:
        query, *matches = re.findall('<figure class="shot ([a-z]*)">.*?alt="camera (\\d)', item, re.DOTALL)
        assert len(matches) == 10 and query[1] not in {camera for _, camera in matches}
        cluster = re.search(r"cluster \d+</strong><br>(\d+) of 10 are in it", item)
        alike = [mark for mark, _ in matches].count("alike")
        assert alike == (int(cluster[1]) if cluster else 0)
    assert any("alike" in item for item in lists)


def part(page, begin, end):
    return page.read_text(encoding="utf-8").split(begin)[1].split(end)[0]


def test_rank_lists_compare_as_searches_do_and_the_map_as_clustering_does(run, folder):
    report([run], overrides=["eval.colour=0.9"])
    lists, points = ('id="ranking"', "</section>"), ('id="points"', "</svg>")
    assert part(run / REPORT, *lists) != part(folder / REPORT, *lists)
    assert part(run / REPORT, *points) == part(folder / REPORT, *points)
