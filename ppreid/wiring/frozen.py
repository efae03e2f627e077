"""From configuration to what the frozen stages of a network make of the training images: computed once, and kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle

from ppreid.base.errors import ConfigError
from ppreid.base.records import ImageRecord
from ppreid.config.schema import TrainingConfig
from ppreid.datasets.frozen_maps import Pair, train_maps
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.loader import EvalLoader, eval_loader
from ppreid.datasets.summary import contents_digest
from ppreid.disk.feature_writer import write_features
from ppreid.disk.features import read_features
from ppreid.models.frozen import FrozenMaps
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.collectives import digest
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.run.checkpoint import MODEL, Checkpoint
from ppreid.run.checkpoint_parts import restore_arrays
from ppreid.run.folder import MAPS
from ppreid.training.extract import engines_tried, feature_blocks
from ppreid.wiring.data import feature_loader

logger = logging.getLogger("ppreid")


class KeptMaps(NamedTuple):
    """What a run with frozen stages reads in the place of its training images.

    Attributes:
        shape: of the maps of an image, (C, h, w).
        rows: maps of image i and of its mirror image, in files.
        transform: these and random numbers to the maps (C, h, w) of a training step.
        loader: the maps of all images in order, without augmentation.
    """

    shape: tuple[int, int, int]
    rows: Mapping[int, Pair]
    transform: Callable[..., np.ndarray]
    loader: EvalLoader


def kept_maps(
    cfg: TrainingConfig,
    model: ReIDNet,
    records: Sequence[ImageRecord],
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> KeptMaps:
    """Compute the maps of the training images, or find those of an earlier start of the run.

    They are in output_dir, in files whose names tell what made them: those of other weights or images are never read.

    Args:
        cfg: of the run.
        model: its network, which is in evaluation mode afterwards.
        records: the training images, (N,).
        checkpoint: what the run goes on from, whose weights the network gets; None: it has those that it begins with.
        ranks: the processes of the run.

    Raises:
        ConfigError: the configuration changes pixels, of which there are none; or there are several processes.
        PpreidError: an image cannot be read, or the maps cannot be written.
    """
    augment = cfg.augment.model_dump()
    of_pixels = {key: augment.pop(key) for key in ("color_jitter", "grayscale", "style_mix")}
    if changed := [key for key, value in of_pixels.items() if value]:
        raise ConfigError(
            f"augment.{changed[0]} is {of_pixels[changed[0]]:g} and model.frozen_stages {cfg.model.frozen_stages}: "
            f"what frozen stages make of an image is kept, and cannot be changed so; set augment.{changed[0]}=0"
        )
    if ranks.count > 1:
        raise ConfigError(
            f"model.frozen_stages is {cfg.model.frozen_stages}, which trains in one process, and there are "
            f"{ranks.count}; start it without paddle.distributed.launch"
        )
    if checkpoint:
        weights = {
            name.removeprefix(MODEL): array for name, array in checkpoint.tensors.items() if name.startswith(MODEL)
        }
        restore_arrays(checkpoint.path, model, None, weights=weights, moments={})
    model.eval()
    shape = _shape(model, cfg)
    origin = _origin(cfg, model, records)
    mirrored = cfg.augment.flip > 0
    files = [_written(cfg, model, records, shape, origin, mirrored=each) for each in (False, True)[: 1 + mirrored]]
    maps = [np.asarray(read_features(file).features).reshape(len(records), *shape) for file in files]
    rows = dict(enumerate(zip(maps[0], maps[-1], strict=True)))
    return KeptMaps(
        shape,
        rows,
        partial(train_maps, height=cfg.data.height, width=cfg.data.width, **augment),
        eval_loader(
            ImageDataset(records, itemgetter(0), held=rows),
            batch_size=cfg.eval.batch_size,
            image_shape=shape,
            num_workers=cfg.data.num_workers,
            worker_timeout=cfg.data.worker_timeout,
        ),
    )


@paddle.no_grad()
def _shape(model: ReIDNet, cfg: TrainingConfig) -> tuple[int, int, int]:
    channels, height, width = model.backbone.frozen_maps(paddle.zeros([1, 3, *cfg.data.size])).shape[1:]
    return channels, height, width


def _origin(cfg: TrainingConfig, model: ReIDNet, records: Sequence[ImageRecord]) -> dict[str, str]:
    """What decides the maps, by name."""
    frozen = [value.numpy() for layer in model.backbone.frozen_layers() for value in layer.state_dict().values()]
    network = cfg.model.model_dump(include={"backbone", "base_width", "frozen_stages"})
    engine = " or ".join(engines_tried(cfg.eval.engine)) or cfg.eval.engine
    return {
        "weights": digest(frozen),
        "network": json.dumps(network, sort_keys=True),
        "image size": f"{cfg.data.height} x {cfg.data.width}",
        "colours": json.dumps(cfg.data.normalisation, sort_keys=True),
        "engine": f"{engine}, {cfg.eval.precision}",
        "image files": contents_digest(records, num_workers=cfg.data.num_workers),
    }


def _written(
    cfg: TrainingConfig,
    model: ReIDNet,
    records: Sequence[ImageRecord],
    shape: tuple[int, int, int],
    origin: Mapping[str, str],
    *,
    mirrored: bool,
) -> Path:
    """The file with the maps of all images or their mirror images, (N, C * h * w); written if it is not there."""
    origin = {**origin, "mirrored": str(mirrored)}
    name = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]
    path = Path(cfg.output_dir, MAPS.format(f"{name}.npy"))
    if path.exists():
        return path
    what = "frozen stages" + ", mirror images" * mirrored

    def blocks_from(first_row: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        loader = feature_loader(records, cfg.data, cfg.eval, rows=range(first_row, len(records)))
        settings = {"engine": cfg.eval.engine, "precision": cfg.eval.precision, "description": what}
        return feature_blocks(FrozenMaps(model, mirrored=mirrored), loader, **settings)

    dim = int(np.prod(shape))
    logger.info("%s: %d images, %.1f GB in %s", what, len(records), len(records) * dim * 4 / 1e9, path)
    # the name says what is in it: whatever else has it is a damaged part of the same
    write_features(path, records, dim=dim, origin=origin, blocks_from=blocks_from, overwrite=True)
    return path
