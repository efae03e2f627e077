"""A recipe of one data set that is used for another: which keys stayed."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.base.reading import is_there
from ppreid.config.load import base_files, config_folders, find_config, load_config
from ppreid.config.schema import TrainingConfig
from ppreid.tables import DATASETS


def warn_of_other_data_set(cfg: TrainingConfig, source: str | Path, overrides: Sequence[str] = ()) -> None:
    """Say which keys stayed those of another data set, where a recipe was switched to this one by data.name alone.

    Args:
        cfg: what was read.
        source: the file or name that it was read from.
        overrides: "a.b=value", which were meant as they are.
    """
    named = {override.partition("=")[0].strip() for override in overrides}
    for file in base_files(find_config(source)):
        recipe, _, name = file.stem.rpartition("_")
        if name == cfg.data.name or name not in DATASETS:
            continue
        here = [folder / f"{recipe}_{cfg.data.name}.yaml" for folder in config_folders()]
        found = next((other for other in here if is_there(other, ConfigError)), None)
        if found is None:
            return
        from ppreid.report.run_files import flat

        of_name, of_this, now = (flat(each.model_dump()) for each in (load_config(file), load_config(found), cfg))
        stayed = [key for key in now if now[key] == of_name[key] != of_this[key] and key not in {*named, "output_dir"}]
        if stayed:
            text = ", ".join(f"{key} {now[key]} ({of_this[key]})" for key in stayed)
            text = f"data.name is {cfg.data.name}, and these keys are still those of {name}: {text}"
            warnings.warn(f"{text}; in brackets {found.name}, which has them all", PpreidWarning, stacklevel=2)
        return
