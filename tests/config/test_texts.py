"""What stands at a key that is a text is that text; limits hold before any work is done."""

import pytest

from ppreid.base.errors import ConfigError
from ppreid.base.plain_yaml import MAX_DEPTH, MAX_LETTERS, MAX_NODES, parse_yaml
from ppreid.config.load import config_text, load_config
from ppreid.config.schema import TrainingConfig, text_keys

# each would be a number, a date, a truth value, null, a comment, a list or no YAML at all if its look decided
LOOKS = ["20240501", "2024-05-01", "1e-3", "0x10", "59:59", "yes", "off", "true", "~", "null", ".inf"]
LOOKS += [
    "#1",
    "my crops: new",
    "[a-z]+",
    "{a}",
    "a, b",
    "%TAG",
    "*x",
    "&x",
    "!x",
    "| x",
    "@x",
    "`x`",
    "- x",
    "it's",
    "'it's'",
]
LOOKS += ["a\tb", "C:\\data", "café", "人", "\udcff"]
# keys that take any text and need no other key
FREE = ("output_dir", "data.root", "model.weights", "checkpoint.fallback_dir", "data.camera_folder.query")


def value_at(cfg, key):
    for part in key.split("."):
        cfg = getattr(cfg, part)
    return cfg


@pytest.fixture
def empty(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("")
    return path


def overrides(key, value):
    """That and, where the two need each other, its partner."""
    return [f"{key}={value}", *(["data.camera_folder.gallery=g"] if key.endswith("query") else [])]


@pytest.mark.parametrize("key", FREE)
@pytest.mark.parametrize("look", LOOKS)
def test_an_override_of_a_text_is_taken_as_it_is(key, look, empty, tmp_path):
    cfg = load_config(empty, overrides(key, look))
    assert value_at(cfg, key) == look
    again = tmp_path / "again.yaml"
    again.write_text(config_text(cfg), encoding="utf-8")
    assert load_config(again) == cfg


@pytest.mark.parametrize("key", FREE)
@pytest.mark.parametrize("look", ["20240501", "2024-05-01", "1e-3", "0x10", "59:59", "yes", "off", "true", "~", "null"])
def test_a_text_in_a_file_is_taken_as_it_stands_there(key, look, tmp_path):
    path = tmp_path / "a.yaml"
    *sections, name = key.split(".")
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    lines += [f"{'  ' * len(sections)}{name}: {look}"]
    lines += [f"{'  ' * len(sections)}gallery: 007"] if name == "query" else []
    path.write_text("\n".join(lines))
    cfg = load_config(path)
    assert value_at(cfg, key) == look
    assert name != "query" or cfg.data.camera_folder.gallery == "007"
    assert load_config(path, [f"data={{root: {look}}}"]).data.root == look  # a section on the command line


def test_all_other_texts_are_known_as_such():
    """Names from tables and words from a list are texts, and so are two that the schema does not have as fields."""
    keys = {".".join(key) for key in text_keys()}
    assert {*FREE, "base", "task", "device", "data.name", "labels.clusterer", "eval.engine", "amp.level"} <= keys
    assert not keys & {"seed", "data.height", "model.last_stride", "solver.lr", "eval.flip", "labels.eps"}


def test_quotes_around_an_override_are_none_of_it(empty):
    assert load_config(empty, ["data.root='my crops'"]).data.root == "my crops"
    assert load_config(empty, ['data.root="a\\tb"']).data.root == "a\tb"
    assert load_config(empty, ["data.root= a "]).data.root == "a"
    assert load_config(empty, ["data.root=' a '"]).data.root == " a "


def test_the_same_value_under_a_text_and_a_number_is_each(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("seed: &number 5\ndata: {root: *number}\noutput_dir: *number\n")
    cfg = load_config(path)
    assert (cfg.seed, cfg.data.root, cfg.output_dir) == (5, "5", "5")


def test_a_text_that_was_merged_in_is_one(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("data:\n  <<: {root: 2024-05-01}\n  height: 32\n")
    assert load_config(path).data.root == "2024-05-01"


@pytest.mark.parametrize("value", ["", "''", '""', "' '"])
def test_an_empty_output_folder_is_refused(empty, value):
    with pytest.raises(ConfigError, match=r"output_dir is ' ?'; name a folder"):
        load_config(empty, [f"output_dir={value}"])


def test_a_value_that_was_forgotten_in_a_file_is_reported(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("data:\n  root:\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:2: data\.root is None; it should be a valid string"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e-3", 1e-3), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("-1.5e+3", -1500.0), (".inf", float("inf"))),
        *(("1_000", 1000), ("0x1f", 31), ("017", 15), ("0b11", 3), ("+7", 7), ("0", 0)),
        *(("59:59", "59:59"), ("1:2.5", "1:2.5")),
    ],
)
def test_numbers_are_those_of_yaml_but_for_base_60(text, value):
    assert parse_yaml(text)[0] == value
    assert type(parse_yaml(text)[0]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: " + "59:" * MAX_LETTERS, "characters, and more than"),
        ("seed: !!int " + "59:" * 9000 + "59", "is no number"),
        ("seed: !!float 59:59.5", "is no number"),
        ("[" + "1," * MAX_NODES + "]", "more than 20,000 values"),
        ("- x\n" * (MAX_NODES + 1), "more than 20,000 values"),
        ("[" * (MAX_DEPTH + 1), "nested too deeply"),
        ("\n".join("  " * depth + "a:" for depth in range(MAX_DEPTH + 2)), "nested too deeply"),
    ],
    ids=["long", "base 60", "base 60 float", "flow list", "block list", "flow depth", "block depth"],
)
def test_limits_hold_before_anything_is_composed(text, message, monkeypatch):
    def no_work(self):
        raise AssertionError("composed")

    if "!!" not in text:
        monkeypatch.setattr("ppreid.base.plain_yaml._Loader.get_single_node", no_work)
    with pytest.raises(ValueError, match=message):
        parse_yaml(text)


@pytest.mark.parametrize(
    "value", ["9" * 5000, "0x" + "f" * 5000, "-" + "9" * 4000, "[" + "9," * 5000 + "]", "x" * 10_000]
)
def test_a_value_of_thousands_of_letters_gets_a_short_answer(empty, value):
    with pytest.raises(ConfigError) as caught:
        load_config(empty, [f"seed={value}"])
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle.weights=x", r"- -o modle\.weights=x: unknown key modle\.weights; did you mean model\.weights\?"),
        ("solvr.lr=1e-3", r"- -o solvr\.lr=1e-3: unknown key solvr\.lr; did you mean solver\.lr\?"),
        ("model.wieghts=#1", r"- -o model\.wieghts=#1: unknown key model\.wieghts; did you mean model\.weights\?"),
        ("a.b.c=1", r"- -o a\.b\.c=1: unknown key a\.b\.c; .*allowed: output_dir"),
        ("device=cuda", r"- -o device=cuda: device is 'cuda'; it should be gpu$"),
        ("device=CUDA:1", r"it should be gpu:1$"),
        ("device=0", r"device is '0'; it should be gpu:0$"),
        ("device=tpu", r"device is 'tpu'; it should be auto, cpu, gpu, or gpu:N"),
        ("device=gpu1", r"device is 'gpu1'; it should be auto, cpu, gpu, or gpu:N"),
        ("device=GPU", r"device is 'GPU'; it should be auto, cpu, gpu, or gpu:N"),
        ("task=trian", r"^-o task=trian: task is 'trian'; did you mean 'train'\?"),
    ],
)
def test_wrong_overrides_are_answered_with_the_override_and_the_right_key(override, message, empty):
    with pytest.raises(ConfigError, match=message):
        load_config(empty, [override])


def test_every_default_is_a_text_where_its_key_is_one():
    values = TrainingConfig()
    for key in text_keys() - {("base",)}:
        assert isinstance(value_at(values, ".".join(key)), str)
