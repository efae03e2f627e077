"""A page in Chinese has the same headings, code, tables and links as the English one."""

import re
from collections import Counter

import pytest
from pages import FENCE, ROOT, code_blocks, commands, page_name

CHINESE = [*ROOT.glob("*.zh-CN.md"), *sorted((ROOT / "docs" / "zh-CN").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HAN = re.compile(r"[\u4e00-\u9fff]")


def english_of(page):
    if page.parent == ROOT:
        return ROOT / page.name.replace(".zh-CN", "")
    return page.parent.parent / page.name


def headings(text):
    """Level of every heading, with the code in it."""
    return [
        (len(marks), re.findall(r"`[^`]+`", title))
        for marks, title in re.findall(r"^(#+) (.*)$", without_code(text), re.MULTILINE)
    ]


def without_code(text):
    return re.sub(r"^    .*$", "", FENCE.sub("", text), flags=re.MULTILINE)


def inline_code(text):
    return Counter(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", without_code(text)))


def tables(text):
    """Number of columns of every row of every table; a line without | ends one."""
    rows = [re.split(r"(?<!\\)\|", line) for line in without_code(text).splitlines()]
    return [len(cells) for cells in rows if len(cells) > 2]


def targets(page):
    """What a page leads to; a page in Chinese counts as its English original, and the two of a pair not at all."""
    found = Counter()
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("#"):
            target = "this page"
        elif "://" not in target:
            path = (page.parent / target.partition("#")[0]).resolve()
            target = english_of(path) if path in CHINESE else path
        if target not in (page, english_of(page) if page in CHINESE else page):
            found[str(target)] += 1
    return found


def code(text):
    """Kind and number of lines of every block, and its lines of Python and YAML without comments."""
    for language, block in code_blocks(text):
        lines = block.strip("\n").splitlines()
        yield language, len(lines), [re.sub(r"\s*#.*", "", line) for line in lines] if language else []


@pytest.mark.parametrize("page", CHINESE, ids=page_name)
def test_the_pages_are_in_step(page):
    """Whoever changes one of the two pages changes the other one as well."""
    original = english_of(page)
    chinese, english = page.read_text(encoding="utf-8"), original.read_text(encoding="utf-8")
    assert headings(chinese) == headings(english)
    assert list(code(chinese)) == list(code(english))
    assert list(commands(chinese)) == list(commands(english))
    assert inline_code(chinese) == inline_code(english)
    assert tables(chinese) == tables(english)
    assert targets(page) == targets(original)


@pytest.mark.parametrize("page", CHINESE, ids=page_name)
def test_the_page_is_in_chinese_and_both_lead_to_each_other(page):
    chinese, original = page.read_text(encoding="utf-8"), english_of(page)
    for paragraph in re.split(r"\n\s*\n", without_code(chinese)):
        prose = re.sub(r"`[^`]*`|\([^)]*\)|[\d|:-]", "", paragraph)
        assert len(re.findall(r"[A-Za-z]{3,}", prose)) < 12 or HAN.search(prose), paragraph
    for one, other in ((page, original), (original, page)):
        links = [(one.parent / link).resolve() for link in LINK.findall(one.read_text(encoding="utf-8"))]
        assert other in links, f"{page_name(one)} must lead to {page_name(other)}"


def test_there_are_the_pages_that_a_newcomer_needs():
    names = {page_name(page) for page in CHINESE}
    needed = ("quick-start", "own-cameras", "troubleshooting")
    assert names >= {"README.zh-CN.md", *(f"docs/zh-CN/{name}.md" for name in needed)}
