# ruff: noqa: RUF001 - Chinese has signs of its own
"""The report in Chinese: every label is translated, and nothing else."""

import re
from html import unescape

import pytest
from invented import HOSTILE, invented_evidence, invented_run

from ppreid.disk.outputs import REPORT
from ppreid.report.chinese import in_chinese, table
from ppreid.report.comparison import comparison_page
from ppreid.report.headline import sentence
from ppreid.report.page import run_page
from ppreid.report.run_files import RUNNING, STOPPED

MARKUP = re.compile(r"(<script.*?</script>|<style.*?</style>|<pre.*?</pre>|<code.*?</code>|<[^>]*>)", re.DOTALL)
# what stays as it is: names of measures and methods, names of this run, keys and values
NAMES = (
    r"mAP|Rank-\d+|mINP|CMC|ARI|NMI|PLI|PCA|ISE|AP|ppreid|labels\.eps|labels\.csv|configs/base\.yaml|base|market1501"
)
NAMES += (
    r"|UTC|--resume|tools/cluster\.py --sweep|Jaccard|t-SNE|paddle|\d+_\d+_\d+\.jpg|demo|run|first|second|a network"
)


def texts(page):
    """What a page shows and reads aloud."""
    for number, part in enumerate(MARKUP.split(page)):
        if number % 2 == 0:
            yield " ".join(unescape(part).split())
        elif not part.startswith(("<script", "<style", "<pre", "<code")):
            yield from (unescape(text) for text in re.findall(r'\b(?:aria-label|title|alt)="([^"]*)"', part))


@pytest.fixture(scope="module")
def chinese(people):
    page = run_page(invented_run("run"), invented_evidence(people), reference={"seed": 1}, language="zh")
    runs = [("first", invented_run("first")), ("second", invented_run("second", epochs=7))]
    return page, comparison_page(runs, language="zh")


def test_no_english_word_is_left_on_either_page(chinese):
    for page in chinese:
        for text in texts(page):
            rest = re.sub(NAMES, "", text.replace(HOSTILE, "").replace("A note with <b>markup</b>.", ""))
            assert not re.search("[A-Za-z]{3}", rest), text


def test_the_pages_are_as_they_were_but_for_their_texts(chinese, pages):
    page = chinese[0]
    assert page.startswith('<!doctype html>\n<html lang="zh-CN">') and REPORT.begins.match(page.encode())
    tags = [re.findall(r"<(/?[a-z]+)", part) for part in (page, pages.run.read_text(encoding="utf-8"))]
    assert tags[0] == tags[1]
    assert HOSTILE not in page  # still escaped
    assert "总和 <output" in page  # what stood between texts is there
    assert "聚类 ${point.cluster}" in page and "more on this map" not in page


def test_the_table_has_each_label_once_and_as_many_gaps_on_both_sides():
    for label, chinese in table().items():
        if "${" not in label:
            gaps = len(re.findall(r"\{n?\}", label))
            assert len(re.findall(r"\{\d?\}", chinese)) == gaps, label
            assert chinese != label or label in ("base", "Jaccard"), label


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clusters", "聚类"),
        ("3 of 12 images", "12 张图像中的 3 张"),
        ("12 images · 1 camera · purity 80%", "12 张图像 · 1 个摄像头 · 纯度 80%"),
        ("There is no ranking: 大厅", "没有检索结果：大厅"),
        ("Nothing was evaluated. Before training it was 3.0 %.", "没有进行评测。训练之前为 3.0 %。"),
        ("大厅 (north)", "大厅（north）"),
        ("hall.jpg", "hall.jpg"),
        ("", ""),
    ],
)
def test_labels_with_gaps_and_several_in_one(text, expected):
    assert in_chinese(text) == expected


@pytest.mark.parametrize("state", [RUNNING, STOPPED, "finished"])
def test_the_sentence_is_translated_in_every_state(state):
    run = invented_run("run")._replace(state=state)
    assert not re.search("[A-Za-z]{3}", re.sub(NAMES, "", in_chinese(sentence(run))))
    bare = run._replace(evaluations=run.evaluations[:1])
    assert not re.search("[A-Za-z]{3}", re.sub(NAMES, "", in_chinese(sentence(bare))))
