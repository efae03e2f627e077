import re
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.config.schema import EvaluationConfig, TrainingConfig
from ppreid.tables import CHOICES
from ppreid.verbs.config_reference import _config_key, config_keys, reference_page, section_meanings

KEYS = {key.name: key for key in config_keys()}


def leaves(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict) and value:  # no plugins are a value
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_the_page_is_the_one_that_the_schema_gives(checkout):
    page = (checkout / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run: python tools/config.py --reference > docs/configuration.md"


def test_every_key_is_there_and_its_default_can_be_given_as_an_override(checkout):
    values = dict(leaves(TrainingConfig().model_dump()))
    assert set(KEYS) == set(values)
    overrides = [f"{key.name}={key.default}" for key in KEYS.values()]
    assert load_config(checkout / "configs" / "base.yaml", overrides) == TrainingConfig()


def test_the_mark_for_evaluation_is_right():
    marked = {name for name, key in KEYS.items() if key.in_evaluation}
    assert marked == {name for name, _ in leaves(EvaluationConfig().model_dump())}


def test_choices_ranges_and_meanings_are_shown():
    for name, choices in CHOICES.items():
        assert set(KEYS[name].allowed.split(", ")) == set(choices)
    assert KEYS["labels.eps"][1:4] == ("number", "more than 0, 1 or less", "0.4")
    assert KEYS["memory.momentum"].allowed == "0 to 1"
    assert KEYS["solver.epochs"].allowed == "1 or more"
    assert KEYS["model.last_stride"].allowed == "1, 2"
    assert KEYS["eval.flip"][1:4] == ("true or false", "", "false")
    assert KEYS["model.weights_sha256"].default == '""'
    assert all(key.meaning for key in KEYS.values())
    assert set(section_meanings()) >= {"", "labels", "labels.camera", "solver"}


def test_unions_lists_and_constants_can_be_described():
    class Other(BaseModel):
        either: Annotated[float, Field(gt=0)] | None = None
        many: list[int] = []

    facts = Other.model_json_schema()["properties"]
    assert _config_key("x.either", facts["either"], False)[1:4] == ("number or null", "more than 0", "null")
    assert _config_key("x.many", facts["many"], False)[1:4] == ("list of integer", "", "[]")


BOUNDED = [key.name for key in KEYS.values() if re.match(r"(more than )?\d", key.allowed)]


@pytest.mark.parametrize("name", BOUNDED)
def test_a_value_below_the_range_is_refused(name, checkout):
    with pytest.raises(ConfigError, match=name):
        load_config(checkout / "configs" / "base.yaml", [f"{name}=-1"])
