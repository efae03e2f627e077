"""The network of a search index, how its images are read and compared: written with the index, and read with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ppreid.base.errors import ConfigError, DataError, PpreidError
from ppreid.base.records import ReIDSplit
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
from ppreid.search.track_maps import MAPS, WITHIN_TRACKS
from ppreid.tables import DATASETS, PLUGINS
from ppreid.verbs.features import COLOURS, made_with
from ppreid.verbs.inputs import read_split
from ppreid.verbs.network import WeightsOrigin, trained_network
from ppreid.weights.files import save_weights
from ppreid.wiring.compared import COLOUR_SHARE, LEARNED_FROM, MIRRORED, compared_by

if TYPE_CHECKING:
    from ppreid.neighbours.within_tracks import WithinTracks

logger = logging.getLogger("ppreid")

STANDARD = "those of ImageNet"  # where the fact COLOURS is missing
COMPARED = (COLOUR_SHARE, CENTRED, WITHIN_TRACKS, MIRRORED, LEARNED_FROM)  # facts of how an index compares
SINCE = {WITHIN_TRACKS: "eval.within_tracks", MIRRORED: "eval.flip"}  # facts that earlier indexes do not have


class OpenIndex(NamedTuple):
    """An index that was checked, and its network.

    Attributes:
        manifest: what it is.
        cfg: how its images are read.
        model: its network, with weights.
        maps: behind which it compares, by what they are of; none where eval.within_tracks was off.
    """

    manifest: Manifest
    cfg: EvaluationConfig
    model: ReIDNet
    maps: Mapping[str, WithinTracks]


def facts_and_tracks(cfg: Config, weights: WeightsOrigin) -> tuple[dict[str, str], ReIDSplit | None]:
    """What decides the features of an index and how they are compared, by name, and where it learns from tracks.

    Args:
        cfg: of network, images and comparison.
        weights: of the network.

    Returns:
        The facts, and the data set whose training images have the tracks; None where eval.within_tracks is off.

    Raises:
        DataError: the data set is missing, or no training image has a known track.
    """
    split = None
    if cfg.eval.within_tracks:
        try:
            split = read_split(cfg.data, skipped_list=None)
        except DataError as error:
            text = f"eval.within_tracks learns from the training images, and these cannot be read: {error}; say where"
            raise DataError(f"{text} they are (-o data.root=FOLDER), or set eval.within_tracks: off") from error
    return {**made_with(cfg, weights.sha256), **compared_by(cfg, split), "weights file": weights.path}, split


def write_network(
    place: Path, cfg: Config, model: ReIDNet, facts: Mapping[str, str], split: ReIDSplit | None
) -> Mapping[str, WithinTracks]:
    """Write a network, what of a configuration the index needs, and the maps, to where the files of an index are.

    Args:
        place: where they are.
        cfg: of network, images and comparison.
        model: the network.
        facts: see `facts_and_tracks`, as `split`. Maps that an interrupted call with the same facts has learned stay.
        split: where maps are learned from.

    Returns:
        The maps, by what they are of.

    Raises:
        DataError: no track has two images that differ.
    """
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
    if split is None:
        return {}
    from ppreid.wiring.within_tracks import learn_and_keep

    return learn_and_keep(place / MAPS, cfg, split, model, facts)


def comparison(settings: EvaluationSettings) -> Preparation:
    """How an index compares features."""
    return Preparation(settings.camera_centre, settings.colour)


def keep_threshold(folder: Path, weights: WeightsOrigin, facts: Mapping[str, str]) -> None:
    """Copy the threshold beside the weights into the folder of an index, if it is of these weights and comparisons."""
    path = Path(weights.path).parent / THRESHOLD
    found = read_threshold(path, weights.sha256, _of_comparison(facts))
    if found:
        write_threshold(folder / THRESHOLD, found)
        logger.info("same person from %.3f on, other below %.3f", found.same, found.other)
    else:
        if path.exists():
            logger.info("%s is of another network or another comparison: matches get no verdict", path)
        (folder / THRESHOLD).unlink(missing_ok=True)  # of the index that was replaced


def judge(folder: Path, manifest: Manifest) -> Callable[[Sequence[SearchResult]], list[SearchResult]]:
    """Results to results whose matches have a verdict, where the index has the threshold of its network.

    Raises:
        DataError: the threshold is damaged.
    """
    facts = manifest.made_with
    return partial(judged, threshold=read_threshold(folder / THRESHOLD, facts["weights"], _of_comparison(facts)))


def _of_comparison(facts: Mapping[str, str]) -> dict[str, str]:
    """Those of the facts of an index that say how it compares."""
    return {name: facts[name] for name in COMPARED if name in facts}


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
    # an earlier index does not compare by these, whatever the configuration of its run says
    off = [f"{key}=off" for name, key in SINCE.items() if name not in manifest.made_with]
    _require_own_network(folder, manifest, load_config(place / CONFIG, off, alone=True), fault=DataError)
    cfg = load_config(place / CONFIG, [*off, *overrides], alone=True)
    if not isinstance(cfg, EvaluationConfig):
        raise DataError(f"{place / CONFIG} is not the configuration of an index; make the index anew")
    _require_own_network(folder, manifest, cfg, fault=ConfigError)
    logger.info("device: %s", use_device(cfg.device))
    model, _ = trained_network(cfg.model.model_copy(update={"weights": str(place / NETWORK)}), cfg.data)
    if not cfg.eval.within_tracks:
        return OpenIndex(manifest, cfg, model, {})
    from ppreid.wiring.within_tracks import kept_maps

    return OpenIndex(manifest, cfg, model, kept_maps(place / MAPS, cfg, dim=model.feature_dim))


def _require_own_network(folder: Path, manifest: Manifest, cfg: Config, *, fault: type[PpreidError]) -> None:
    """Refuse another network than that of the index; whose fault it is decides the class of the error."""
    wanted = manifest.made_with
    found = {**made_with(cfg, wanted.get("weights", "")), **compared_by(cfg)}
    if cfg.model.weights != NETWORK:
        raise fault(f"the index {folder} has its own network; leave model.weights out, or make another index")
    names = dict.fromkeys((*found, COLOURS, *COMPARED)).keys() - {LEARNED_FROM}  # which the configuration does not say
    if changed := [name for name in names if found.get(name) != wanted.get(name)]:
        nothing = {COLOURS: STANDARD, COLOUR_SHARE: "0", **dict.fromkeys(COMPARED[1:], "off")}
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
