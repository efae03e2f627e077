"""What README and docs say exists, exists."""

import re
import subprocess
import sys

import pytest
from pages import PAGES, ROOT, page_name

from ppreid import tables
from ppreid.cli import verb_module
from ppreid.config.load import load_config

LINK = re.compile(r"\]\(([^)#\s]+)")
TOOL = re.compile(r"(?:python )?tools/(\w+)\.py((?: +[^`\n|;)]+)?)")
CONFIG = re.compile(r"[\w./]*?(\w+\.yaml)\b")
OWN_FILES = {"mine.yaml", "my.yaml", "config.yaml", "botsort.yaml"}  # in examples: the user's own


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page_name(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_tools_and_their_options_exist(page, capsys):
    for name, rest in TOOL.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / "tools" / f"{name}.py").is_file(), f"{page_name(page)}: tools/{name}.py"
        command = {"eval": "eval"}.get(name, name.replace("_", "-"))
        help_text = " ".join(option_strings(command))
        for option in re.findall(r"(?<!\w)--?[a-z][\w-]*", rest):
            assert option in help_text.split(), f"{page_name(page)}: tools/{name}.py {option}"


def option_strings(command):
    import argparse

    parser = argparse.ArgumentParser()
    verb_module(command).add_arguments(parser)
    return [option for action in all_actions(parser) for option in action.option_strings]


def all_actions(parser):
    """Arguments of a parser and of its sub-commands."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for sub in action.choices.values():
                yield from all_actions(sub)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_configurations_exist(page):
    for name in CONFIG.findall(page.read_text(encoding="utf-8")):
        assert name in OWN_FILES or list((ROOT / "configs").rglob(name)), f"{page_name(page)}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for target in re.findall(r"(?:^    |`)make ([\w.-]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        assert target in targets, f"{page_name(page)}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_overrides_in_examples_are_keys_of_the_schema(page):
    for key, value in re.findall(r"-o ([a-z_]+(?:\.[a-z_0-9]+)+)=([\w./-]+)", page.read_text(encoding="utf-8")):
        load_config(ROOT / "configs" / "base.yaml", [f"{key}={value}"])


def test_benchmarks_that_docs_name_exist():
    for page in PAGES:
        for name in re.findall(r"benchmarks/(\w+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / "benchmarks" / name).is_file(), f"{page_name(page)}: {name}"


def test_files_of_the_package_that_docs_name_exist():
    for page in PAGES:
        for name in re.findall(r"`(?:ppreid/)?((?:\w+/)*\w+\.py)`", page.read_text(encoding="utf-8")):
            found = (ROOT / name).exists() or (ROOT / "ppreid" / name).exists()
            assert found, f"{page_name(page)}: {name}"


def test_the_table_of_data_sets_names_all_of_them_with_the_published_counts():
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    for name, row in tables.DATASETS.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        if row.published:
            counts = " / ".join(f"{part.images:,}" for part in tables.resolve(row.published))
            assert counts in line, f"{name}: {counts}"


def test_the_papers_numbers_in_the_readme_are_those_of_the_configuration_headers():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in ("baseline", "ise_pli", "ise_lp", "ise"):
        line = next(line for line in text.splitlines() if f"`{row}_market1501.yaml`" in line)
        for dataset in ("market1501", "msmt17"):
            header = (ROOT / "configs" / f"{row}_{dataset}.yaml").read_text(encoding="utf-8")
            mean_ap, rank1 = re.search(r"the paper reports ([\d.]+) mAP, ([\d.]+) Rank-1", header).groups()
            assert f"{mean_ap} ({rank1})" in line


def test_nothing_unfinished_is_left_in_the_pages():
    for page in PAGES:
        assert not re.search(r"TODO|FIXME|DEMO_TABLE|XXX", page.read_text(encoding="utf-8")), page_name(page)


def test_the_picture_of_the_method_is_the_one_that_its_script_draws():
    drawn = subprocess.run([sys.executable, ROOT / "docs" / "draw_pipeline.py"], capture_output=True, check=True)
    assert drawn.stdout == (ROOT / "docs" / "images" / "pipeline.svg").read_bytes()


def test_the_index_leads_to_every_page():
    targets = set(LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= targets
