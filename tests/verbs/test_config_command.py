import subprocess
import sys

import pytest

from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.verbs.config import describe, find_keys
from ppreid.verbs.config_reference import config_keys


def names(word):
    return [key.name for key in find_keys(word)]


def test_a_word_is_looked_for_in_names_sections_meanings_and_choices():
    assert "labels.eps" in names("EPS")
    assert "solver.iters" not in names("eps")  # its meaning speaks of steps
    assert "solver.warmup_iters" in names("iters")
    assert {"labels.k1", "labels.clusterer", "memory.update"} <= set(names("cluster"))
    assert names("hdbscan") == ["labels.clusterer"]
    assert names("") == [key.name for key in config_keys()]


def test_a_key_is_described_with_type_range_and_default():
    (key,) = find_keys("dbscan,")
    assert describe(key).splitlines()[0] == (
        "labels.clusterer: text, agglomerative, dbscan, hdbscan, infomap, default dbscan"
    )
    assert describe(key).splitlines()[1].startswith("    Clustering method")


def test_a_word_that_no_key_has_is_answered_with_the_nearest(capsys):
    assert main(["config", "--list", "clusterng"]) == 2
    assert "no configuration key has to do with 'clusterng'; did you mean clustering?" in capsys.readouterr().err


def test_the_printed_configuration_is_one_itself(tmp_path, capsys):
    assert main(["config", "-c", "demo.yaml", "-o", "solver.lr=0.01"]) == 0
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_config(path) == load_config("demo.yaml", ["solver.lr=0.01"])


def test_the_reference_is_the_page_of_the_documentation(checkout, capsys):
    assert main(["config", "--reference"]) == 0
    assert capsys.readouterr().out == (checkout / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [[], ["-c", "demo.yaml", "--list", "eps"], ["--reference", "--list"]])
def test_exactly_one_of_the_three_is_wanted(arguments, capsys):
    assert main(["config", *arguments]) == 2
    assert "give either -c FILE" in capsys.readouterr().err


def test_keys_are_listed_without_importing_paddle():
    code = (
        "import sys; from ppreid.cli import main; code = main(['config', '--list']); "
        "sys.exit(code or 'paddle' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "labels.eps: number" in done.stdout
