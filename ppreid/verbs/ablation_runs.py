"""Which runs an ablation has: combinations of configurations and values, and whether an earlier run is one of them."""

import math
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig
from ppreid.verbs.command import for_training

MAX_ROWS = 1000  # more is a typing error
_NOT_HERE = {"output_dir": "--out", "seed": "--seeds"}


def combinations(
    sources: Sequence[tuple[str, str]], vary: Sequence[str], overrides: Sequence[str]
) -> dict[str, TrainingConfig]:
    """Name and configuration of every row: each source with each combination of values, the first source first.

    Args:
        sources: file, and objective or "" for its own.
        vary: "a.b=value1,value2"; commas in brackets are part of a value.
        overrides: "a.b=value" for all rows.

    Raises:
        ConfigError: a key or value is wrong, two rows have one name, there are too many, or several data sets.
    """
    values = [_values(text) for text in vary]
    keys = [options[0][0] for options in values]
    parts = [key.rpartition(".")[2] for key in keys]
    short = parts if len(set(parts)) == len(parts) else keys
    if len(set(keys)) < len(keys):
        raise ConfigError(
            f"--vary names {next(key for key in keys if keys.count(key) > 1)} twice; give all its values once"
        )
    if len(sources) * math.prod(map(len, values)) > MAX_ROWS:
        raise ConfigError(f"these are more than {MAX_ROWS:,} rows; give fewer values to --vary")
    several = len({file for file, _ in sources}) > 1
    found: dict[str, TrainingConfig] = {}
    for (file, objective), varied in product(dict.fromkeys(sources), product(*values)):
        shown = [f"{key}={value}" for key, (_, value) in zip(short, varied, strict=True)]
        row = re.sub(r"[|\s]+", " ", " ".join([Path(file).stem * several, objective, *shown])).strip()
        if row in found:
            raise ConfigError(f"two rows are called {row!r}; give the configurations different names")
        own = [f"ise.objective={objective}"] if objective else []
        own += [f"{key}={value}" for key, value in varied]
        found[row] = for_training(load_config(file, [*overrides, *own]), file)
    if len(data := sorted({cfg.data.name for cfg in found.values()})) > 1:
        raise ConfigError(f"the rows are of several data sets, {' and '.join(data)}, and do not compare")
    return found


def _values(text: str) -> list[tuple[str, str]]:
    """Key and value of each of "key=value1,value2"."""
    key, equals, values = (part.strip() for part in text.partition("="))
    if not (key and equals and values):
        raise ConfigError(f"--vary takes KEY=VALUE,VALUE, for example --vary labels.eps=0.4,0.5; found {text!r}")
    if key in _NOT_HERE:
        raise ConfigError(f"--vary {text}: this command sets {key} for every run; use {_NOT_HERE[key]}")
    # a comma that no closing bracket follows before the next opening one stands between values
    parts = [part.strip() for part in re.split(r",(?![^\[{]*[\]}])", values)]
    return [(key, part) for part in dict.fromkeys(parts)]


def is_changed(folder: Path, cfg: TrainingConfig, *, overwrite: bool) -> bool:
    """Whether the run in a folder has another configuration, in which case a table would compare unlike runs.

    Args:
        folder: of the run; there may be none yet.
        cfg: that it should have.
        overwrite: it may be replaced.

    Raises:
        ConfigError: it has, and is not to be replaced.
    """
    from ppreid.run.folder import CONFIG

    file = folder / CONFIG
    if not file.exists():
        return False
    from ppreid.run.resume import changed_keys, effect

    changed = changed_keys(load_config(file, alone=True).model_dump(), cfg.model_dump())
    refused = [item for item in changed if effect(item[0]) != "none" or item[0].startswith("eval.")]
    if refused and not overwrite:
        lines = "\n".join(f"  - {key}: {old!r} then, {new!r} now" for key, old, new in refused)
        raise ConfigError(
            f"{folder} is a run with another configuration; change these keys back, choose another folder (--out) "
            f"or pass --overwrite\n{lines}"
        )
    return bool(refused)
