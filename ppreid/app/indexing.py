"""The story of a search index: images, features, a folder that can be searched without anything else."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid import tables
from ppreid.app.extraction import made_with, write_image_features
from ppreid.app.inputs import read_gallery, read_split, trained_network
from ppreid.base.errors import ConfigError, DataError
from ppreid.base.records import DatasetContents, ImageRecord
from ppreid.config.load import config_text, load_config
from ppreid.config.method import EvaluationModelConfig
from ppreid.config.run import EvaluationSettings
from ppreid.config.schema import Config, EvaluationConfig
from ppreid.disk.files import file_sha256, write_text
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.device import use_device
from ppreid.run.lock import LOCK, run_lock
from ppreid.search.files import (
    CONFIG,
    MANIFEST,
    NETWORK,
    Manifest,
    file_names,
    part_file,
    read_lists,
    read_manifest,
    read_parts,
    write_lists,
    write_manifest,
)
from ppreid.search.gallery import assign_lists, choose_method, learn_lists
from ppreid.weights.files import save_weights

logger = logging.getLogger("ppreid")

SKIPPED = "part_{:04d}.bad_images.txt"


class OpenIndex(NamedTuple):
    """An index that was checked, and its network.

    Attributes:
        folder: where it is.
        manifest: what it is.
        cfg: how its images are read.
        model: its network, with weights.
    """

    folder: Path
    manifest: Manifest
    cfg: EvaluationConfig
    model: ReIDNet


def build_index(cfg: Config, folder: Path, *, images: Path | None = None, method: str = "auto") -> int:
    """Make a folder that can be searched for images; the same call goes on with one that was interrupted.

    The folder holds the features of the images, and the network, so that nothing else is needed to search it.

    Args:
        cfg: the network and how images are read; with data.name camera_folder also where cameras come from.
        folder: to make.
        images: folder of images, searched with its subfolders; None takes those of the data set: the gallery, or the
            training part where there is no gallery.
        method: "exact" compares a query with every image; "ivf" looks into some inverted lists only; "auto" is exact
            up to 500,000 images.

    Returns:
        Number of images.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    _check_new(folder)
    logger.info("device: %s", use_device(cfg.device))
    with run_lock(folder):
        contents = _find_images(cfg, images, folder / SKIPPED.format(0))
        records = _absolute(contents.split.train)
        model, weights = trained_network(cfg.model)
        save_weights(folder / NETWORK, model)
        write_text(folder / CONFIG, config_text(_own_config(cfg, file_sha256(folder / NETWORK))))
        _remove_unfinished(folder, 0)
        write_image_features(cfg, model, weights["sha256"], records, folder / part_file(0))
        features = np.load(folder / part_file(0), mmap_mode="r", allow_pickle=False)
        if (method := choose_method(method, len(records))) == "ivf":
            write_lists(folder, 1, *learn_lists(features))
        facts = {**made_with(cfg, weights["sha256"]), "weights file": weights["path"]}
        cameras = list(contents.camera_names)
        write_manifest(folder, Manifest([len(records)], features.shape[1], method, cameras, facts, {}))
    logger.info("%s: %d images, %s search", folder, len(records), method)
    return len(records)


def add_to_index(folder: Path, images: Path, *, overrides: Sequence[str] = ()) -> int:
    """Add the images of a folder that an index does not have yet, by their paths.

    Args:
        folder: the index.
        images: folder of images, searched with its subfolders.
        overrides: "a.b=value" for keys that do not change features, e.g. device or data.num_workers.

    Returns:
        Number of images that were added.

    Raises:
        PpreidError: what its message says; the subclass tells the kind. The index is as it was then.
    """
    with run_lock(folder):
        index = open_index(folder, overrides)
        manifest, number = index.manifest, len(index.manifest.parts)
        parts = read_parts(folder, manifest)
        known = {name for part in parts for name in part.names}
        contents = _find_images(index.cfg, images, folder / SKIPPED.format(number))
        cameras = [*manifest.cameras, *(name for name in contents.camera_names if name not in manifest.cameras)]
        records = [
            record._replace(camid=cameras.index(contents.camera_names[record.camid]) if record.camid >= 0 else -1)
            for record in _absolute(contents.split.train)
            if record.path not in known
        ]
        num_known = len(contents.split.train) - len(records)
        logger.info("%d of %d images are in the index already", num_known, len(contents.split.train))
        if not records:
            return 0
        _remove_unfinished(folder, number)
        write_image_features(index.cfg, index.model, manifest.made_with["weights"], records, folder / part_file(number))
        if manifest.method == "ivf":
            features = np.load(folder / part_file(number), mmap_mode="r", allow_pickle=False)
            centroids, lists = read_lists(folder, manifest)
            write_lists(folder, number + 1, centroids, np.concatenate([lists, assign_lists(centroids, features)]))
        write_manifest(folder, manifest._replace(parts=[*manifest.parts, len(records)], cameras=cameras))
        for name in set(file_names(number, manifest.method)) - set(file_names(number + 1, manifest.method)):
            (folder / name).unlink()  # the inverted lists of before
    logger.info("%s: %d images added, %d in all", folder, len(records), sum(manifest.parts) + len(records))
    return len(records)


def open_index(folder: Path, overrides: Sequence[str] = ()) -> OpenIndex:
    """Check all files of an index, and load its network.

    Args:
        folder: the index.
        overrides: "a.b=value" for keys that do not change features.

    Raises:
        ConfigError: an override would change the features.
        DataError: the index is missing or damaged.
    """
    manifest = read_manifest(folder)
    cfg = load_config(folder / CONFIG, overrides)
    if not isinstance(cfg, EvaluationConfig):
        raise DataError(f"{folder / CONFIG} is not the configuration of an index; make the index anew")
    wanted, found = manifest.made_with, made_with(cfg, manifest.made_with.get("weights", ""))
    if cfg.model.weights != NETWORK:
        raise ConfigError(f"the index {folder} has its own network; leave model.weights out, or make another index")
    if changed := [name for name in found if found[name] != wanted.get(name)]:
        detail = ", ".join(f"{name} {wanted.get(name)}, not {found[name]}" for name in changed)
        raise ConfigError(f"the index {folder} was made with {detail}; make another index for that")
    cfg = cfg.model_copy(update={"model": cfg.model.model_copy(update={"weights": str(folder / NETWORK)})})
    logger.info("device: %s", use_device(cfg.device))
    model, _ = trained_network(cfg.model)
    return OpenIndex(folder, manifest, cfg, model)


def _find_images(cfg: Config, images: Path | None, skipped_list: Path) -> DatasetContents:
    """Images of a folder, or of the data set, as training part."""
    if images is not None:
        return read_gallery(images, cfg.data, skipped_list=skipped_list)
    if tables.DATASETS[cfg.data.name].any_folder:
        return read_gallery(Path(cfg.data.root), cfg.data, skipped_list=skipped_list)
    split = read_split(cfg.data, skipped_list=skipped_list)
    last = max((record.camid for record in split.gallery), default=-1)
    names = tuple(str(number + 1) for number in range(last + 1))  # as in file names
    return DatasetContents(split._replace(train=split.gallery), names)


def _absolute(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Records that mean the same images from every directory."""
    return [record._replace(path=os.path.abspath(record.path)) for record in records]


def _own_config(cfg: Config, network_sha256: str) -> EvaluationConfig:
    """What of a configuration the index needs, with its own network."""
    model = cfg.model.model_dump(include=set(EvaluationModelConfig.model_fields))
    settings = cfg.eval.model_dump(include=set(EvaluationSettings.model_fields))
    values = {
        "device": cfg.device,
        "data": cfg.data.model_dump(),
        "model": {**model, "weights": NETWORK, "weights_sha256": network_sha256},
        "eval": settings,
    }
    return EvaluationConfig.model_validate(values)


def _check_new(folder: Path) -> None:
    """Refuse a folder that holds an index, or anything but the beginning of one."""
    if (folder / MANIFEST).exists():
        raise ConfigError(f"{folder} holds an index; `search add` adds images to it, or choose another folder")
    own = (CONFIG, NETWORK, LOCK, "part_0000.", ".")
    others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(own)] if folder.is_dir() else []
    if others or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder} is not empty ({', '.join(sorted(others)[:3]) or 'a file'}); choose another folder")


def _remove_unfinished(folder: Path, number: int) -> None:
    """Remove a part that was written by a call that did not get to its end; it is extracted again."""
    for path in (folder / part_file(number), (folder / part_file(number)).with_suffix(".csv")):
        path.unlink(missing_ok=True)
