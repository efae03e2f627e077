"""The network of a search index and how its images are read: written with the index, and read with it again."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import ConfigError, DataError, PpreidError
from ppreid.config.data import DataConfig
from ppreid.config.load import config_text, load_config
from ppreid.config.method import EvaluationModelConfig
from ppreid.config.run import EvaluationSettings
from ppreid.config.schema import Config, EvaluationConfig
from ppreid.disk.files import file_sha256, write_text
from ppreid.evaluation.inputs import Preparation
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.device import use_device
from ppreid.search.centred import CENTRED
from ppreid.search.files import CONFIG, NETWORK, Manifest, home, read_manifest
from ppreid.search.results import SearchResult
from ppreid.search.threshold import THRESHOLD, judged, read_threshold, write_threshold
from ppreid.tables import DATASETS, PLUGINS
from ppreid.verbs.features import COLOUR_SHARE, COLOURS, compared_by, made_with
from ppreid.verbs.network import WeightsOrigin, trained_network
from ppreid.weights.files import save_weights

logger = logging.getLogger("ppreid")

STANDARD = "those of ImageNet"  # where the fact COLOURS is missing


class OpenIndex(NamedTuple):
    """An index that was checked, and its network.

    Attributes:
        manifest: what it is.
        cfg: how its images are read.
        model: its network, with weights.
    """

    manifest: Manifest
    cfg: EvaluationConfig
    model: ReIDNet


def write_network(place: Path, cfg: Config, model: ReIDNet) -> None:
    """Write a network and what of a configuration the index needs to where the files of an index are."""
    save_weights(place / NETWORK, model)
    network = cfg.model.model_dump(include=set(EvaluationModelConfig.model_fields))
    values = {
        "device": cfg.device,
        "data": cfg.data.model_dump(),
        "model": {**network, "weights": NETWORK, "weights_sha256": file_sha256(place / NETWORK)},
        "eval": cfg.eval.model_dump(include=set(EvaluationSettings.model_fields)),
    }
    if cfg.plugins:
        from ppreid.base.plugins import digests

        values["plugins"] = digests(PLUGINS, values)
    own = EvaluationConfig.model_validate(values)
    write_text(place / CONFIG, config_text(own))


def comparison(settings: EvaluationSettings) -> Preparation:
    """How an index compares features."""
    return Preparation(settings.camera_centre, settings.colour)


def keep_threshold(folder: Path, weights: WeightsOrigin, settings: EvaluationSettings) -> None:
    """Copy the threshold beside the weights into the folder of an index, if it is of these weights and comparisons."""
    found = read_threshold(Path(weights.path).parent / THRESHOLD, weights.sha256, compared_by(settings))
    if found:
        write_threshold(folder / THRESHOLD, found)
        logger.info("same person from %.3f on, other below %.3f", found.same, found.other)
    else:
        (folder / THRESHOLD).unlink(missing_ok=True)  # of the index that was replaced


def judge(folder: Path, manifest: Manifest) -> Callable[[Sequence[SearchResult]], list[SearchResult]]:
    """Results to results whose matches have a verdict, where the index has the threshold of its network.

    Raises:
        DataError: the threshold is damaged.
    """
    compared = {name: manifest.made_with[name] for name in (COLOUR_SHARE, CENTRED) if name in manifest.made_with}
    return partial(judged, threshold=read_threshold(folder / THRESHOLD, manifest.made_with["weights"], compared))


def open_index(folder: Path, overrides: Sequence[str] = ()) -> OpenIndex:
    """Check all files of an index, and load its network.

    Args:
        folder: the index.
        overrides: "a.b=value" for keys that do not change features.

    Raises:
        ConfigError: an override is wrong, or would change the features.
        DataError: the index is missing or damaged.
    """
    manifest = read_manifest(folder)
    place = home(folder, manifest.made)
    _require_own_network(folder, manifest, load_config(place / CONFIG, alone=True), fault=DataError)
    cfg = load_config(place / CONFIG, overrides, alone=True)
    if not isinstance(cfg, EvaluationConfig):
        raise DataError(f"{place / CONFIG} is not the configuration of an index; make the index anew")
    _require_own_network(folder, manifest, cfg, fault=ConfigError)
    logger.info("device: %s", use_device(cfg.device))
    model, _ = trained_network(cfg.model.model_copy(update={"weights": str(place / NETWORK)}), cfg.data)
    return OpenIndex(manifest, cfg, model)


def _require_own_network(folder: Path, manifest: Manifest, cfg: Config, *, fault: type[PpreidError]) -> None:
    """Refuse another network than that of the index; whose fault it is decides the class of the error."""
    wanted = manifest.made_with
    found = {**made_with(cfg, wanted.get("weights", "")), **compared_by(cfg.eval)}
    if cfg.model.weights != NETWORK:
        raise fault(f"the index {folder} has its own network; leave model.weights out, or make another index")
    names = dict.fromkeys((*found, COLOURS, COLOUR_SHARE, CENTRED))
    if changed := [name for name in names if found.get(name) != wanted.get(name)]:
        nothing = {COLOURS: STANDARD, COLOUR_SHARE: "0", CENTRED: "off"}
        sides = [{**nothing, **side} for side in (wanted, found)]
        detail = ", ".join(f"{name} {sides[0].get(name)}, not {sides[1].get(name)}" for name in changed)
        raise fault(f"the index {folder} was made with {detail}; make another index for that")


def require_own_tables(folder: Path, cfg: DataConfig, overrides: Sequence[str]) -> None:
    """Refuse to read what only the configuration of an index names: a stranger may have made it, or another machine.

    Args:
        folder: the index.
        cfg: the data section of its configuration, with overrides.
        overrides: "a.b=value" of the user.

    Raises:
        ConfigError: cameras or tracks are to come from a table that the user has not named.
    """
    given = {override.partition("=")[0].strip() for override in overrides}
    for key in ("csv", "tracks") if DATASETS[cfg.name].any_folder else ():
        name, value = f"data.camera_folder.{key}", getattr(cfg.camera_folder, key)
        if value not in ("", "auto", "none", "found") and name not in given:
            text = f"the index {folder} was made with {name} {value}; name the table of the new images"
            raise ConfigError(f"{text}: -o {name}=FILE")
