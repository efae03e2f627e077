"""Every row of every table stands for something that can be called as its table says."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ppreid
from ppreid import tables
from ppreid.config.load import load_config

ROWS = [(key, name) for key, table in tables.CHOICES.items() for name in table]
# what wiring hands to the functions of a table: (number of positional arguments, names)
COMMON = {"max_distance", "method", "num_probes", "stopwatch"}
CALLS = {
    "ise.objective": (4, {"topk", "temperature", "lp_temperature", "lp_weight"}),
    "report.projection": (1, {"seed"}),
}


def call_of(key, row):
    """How the function of a row is called: (number of positional arguments, names)."""
    match row:
        case tables.Dataset():
            names = type(getattr(load_config("base.yaml").data, row.settings)).model_fields if row.settings else ()
            return 1, set(names)
        case tables.Distance():
            labels = load_config("base.yaml").labels.model_dump(include=set(row.keys))
            parts = [value if isinstance(value, dict) else {name: value} for name, value in labels.items()]
            names = {name.removesuffix("_first") for part in parts for name in part}
            return (2 if row.needs_cameras else 1), COMMON | names
        case tables.Clusterer():
            return 1, {"min_samples", "eps"} if row.looks_at_eps else {"min_samples"}
        case tables.Backbone():
            size = {"height", "width"} if row.has_positions else set()
            return 0, {*row.keys, *size, *row.settings}
        case tables.Optimizer():
            return 1, {"lr", "weight_decay", *row.keys}
        case tables.Pooling():
            return (0 if row.is_layer else 1), set()
        case tables.Protocol():
            return 1, set()
        case tables.MemoryUpdate():
            return (4 if row.needs_cameras else 3), {"momentum"}
        case tables.ContrastWeights():
            return 2, set()
        case tables.Engine():
            return 2, {"precision"}
    positional, names = CALLS[key]
    return positional, names | set(getattr(row, "settings", {}))


@pytest.mark.parametrize(("key", "name"), ROWS, ids=[f"{key}={name}" for key, name in ROWS])
def test_the_function_of_a_row_takes_what_it_is_given(key, name):
    row = tables.CHOICES[key][name]
    if isinstance(row, tables.Neighbours):
        assert row.exact_up_to >= 0
        return
    if row[0] is None:
        nothing = tables.ContrastWeights(None), tables.Engine(tries=getattr(row, "tries", ()))
        assert row._replace(**({"when_finished": ""} if key == "eval.engine" else {})) in nothing, "nothing to call"
        return
    function = tables.resolve(row[0])
    positional, names = call_of(key, row)
    inspect.signature(function).bind(*range(positional), **dict.fromkeys(names))


def test_a_callable_stands_for_itself():
    assert tables.resolve(len) is len
    assert tables.resolve("ppreid.tables:CHOICES") is tables.CHOICES


@pytest.mark.parametrize("name", [name for name, row in tables.DATASETS.items() if row.published])
def test_published_counts_have_three_parts(name):
    counts = tables.resolve(tables.DATASETS[name].published)
    assert all(part.images > 0 for part in (counts.train, counts.query, counts.gallery))


def test_the_tables_load_nothing_heavy():
    code = "import sys, ppreid.tables; sys.exit(repr([m for m in ('paddle', 'numpy', 'pydantic') if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_a_choice_is_named_in_the_tables_and_nowhere_else_compared_with():
    """Facts about a choice are fields of its row; `== "hdbscan"` elsewhere would be missed by a choice from outside."""
    own = {
        "exact",
        "ivf",
        "auto",
        "market1501",
        "msmt17",
        "demo",
        "avg",
        "max",
        "hard",
        "none",
    }  # words with other meanings too
    names = {name for _, name in ROWS} - own
    package = Path(ppreid.__file__).parent
    for file in package.rglob("*.py"):
        if file.name != "tables.py":
            text = file.read_text(encoding="utf-8")
            found = [name for name in names for mark in ("==", "!=", " in (") if f'{mark} "{name}"' in text]
            assert not found, f"{file}: {found}"
