"""A recipe of one data set that is used for another by one line: the keys that stayed are named."""

import warnings

import pytest

from ppreid.base.errors import PpreidWarning
from ppreid.cli import main
from ppreid.config.load import base_files, load_config
from ppreid.verbs.other_data_set import warn_of_other_data_set

SWITCH = "data.name=msmt17"


def warned(source, *overrides):
    with pytest.warns(PpreidWarning) as found:
        warn_of_other_data_set(load_config(source, overrides), source, overrides)
    (warning,) = found
    return str(warning.message)


def silent(source, *overrides):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_other_data_set(load_config(source, overrides), source, overrides)


def test_keys_that_stayed_are_named_with_the_other_values():
    text = warned("ise_market1501", SWITCH)
    assert text.startswith("data.name is msmt17, and these keys are still those of market1501: labels.eps 0.4 (0.7), ")
    for key in ("memory.update hard (sequential)", "memory.momentum 0.2 (0.1)", "ise.lp_weight 0.1 (0.01)"):
        assert key in text
    assert text.endswith("in brackets ise_msmt17.yaml, which has them all") and "output_dir" not in text
    assert "labels.eps 0.7 (0.4)" in warned("ise_msmt17.yaml", "data.name=market1501")


def test_keys_that_were_set_are_meant():
    text = warned("ise_market1501", SWITCH, "labels.eps=0.4", "ise.lp_weight=0.02")
    assert "labels.eps" not in text and "ise.lp_weight" not in text and "memory.momentum" in text


def test_a_file_of_ones_own_on_top_of_a_recipe(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: ise_market1501\ndata: {name: msmt17}\nlabels: {eps: 0.6}\n")
    assert [file.stem for file in base_files(mine)] == ["mine", "ise_market1501", "base"]
    assert "labels.eps" not in warned(mine) and "solver.epochs 70 (50)" in warned(mine)


@pytest.mark.parametrize(
    ("source", "overrides"),
    [
        ("ise_market1501", ()),
        ("ise_msmt17", (SWITCH,)),
        ("base", (SWITCH,)),
        ("ise_market1501", ("data.name=demo",)),  # there is no recipe of it
        ("ise_osnet_market1501", (SWITCH,)),
    ],
)
def test_nothing_is_said_where_nothing_was_switched_or_nobody_knows_better(source, overrides):
    silent(source, *overrides)


def test_commands_say_it(tmp_path, capsys):
    assert main(["train", "-c", "ise_market1501", "-o", SWITCH, "-o", f"data.root={tmp_path}"]) == 3
    assert "warning: data.name is msmt17, and these keys" in capsys.readouterr().err
