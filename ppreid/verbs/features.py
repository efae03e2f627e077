"""Features of images, in memory or to a file, and what decides them: for several verbs."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ppreid import tables, wiring
from ppreid.base.records import ImageRecord
from ppreid.config.data import DataConfig
from ppreid.config.run import EvaluationSettings
from ppreid.config.schema import Config
from ppreid.datasets.image_file import Source, named_images
from ppreid.datasets.summary import contents_digest
from ppreid.models.reid_net import ReIDNet
from ppreid.neighbours.checks import check_not_collapsed
from ppreid.search.centred import CENTRED
from ppreid.training.extract import engines_tried, feature_blocks

logger = logging.getLogger("ppreid")

_COLOUR_BLOCK = 256  # images whose colour is written at a time
COLOUR_SHARE = "share of colour"  # a fact of what is compared, as CENTRED
COLOURS = "colours"  # a fact of features whose images are not normalised by ImageNet's numbers
NETWORK_KEYS = {"backbone", "base_width", "last_stride", "pooling", "embedding_dim"}


def made_with(cfg: Config, weights_sha256: str) -> dict[str, str]:
    """What decides the feature of an image, by name."""
    keys = NETWORK_KEYS | ({"position_ratio"} & set(tables.BACKBONES[cfg.model.backbone].keys))
    if cfg.model.parts > 1:  # earlier files have no such key
        keys |= {"parts"}
    found = {
        "weights": weights_sha256,
        "network": json.dumps(cfg.model.model_dump(include=keys), sort_keys=True),
        "image size": f"{cfg.data.height} x {cfg.data.width}",
    }
    if cfg.data.normalisation != DataConfig().normalisation:  # earlier files have no such fact
        found[COLOURS] = json.dumps(cfg.data.normalisation, sort_keys=True)
    return found


def embed(cfg: Config, model: ReIDNet, images: Source | Iterable[Source]) -> np.ndarray:
    """Features of images, in memory or in files: those of `write_image_features`, bit for bit.

    Args:
        cfg: how images are read, and by which engine.
        model: the network, with its weights.
        images: see `named_images`.

    Returns:
        (n, D) float32 unit rows, in the order of the images.

    Raises:
        DataError: an image cannot be read, or is of another kind.
    """
    names, held = named_images(images)
    if not names:
        return np.empty((0, model.feature_dim), np.float32)
    if len(names) <= cfg.eval.batch_size:  # workers would take longer to start than to read one batch
        cfg = cfg.model_copy(update={"data": cfg.data.model_copy(update={"num_workers": 0})})
    return wiring.feature_extractor(cfg, model, finished=True)([ImageRecord(name, -1, -1) for name in names], held=held)


def compared_by(settings: EvaluationSettings) -> dict[str, str]:
    """What decides how features are compared, by name; nothing where it is their cosine."""
    found = {COLOUR_SHARE: settings.colour, CENTRED: settings.camera_centre}
    return {name: f"{value:g}" for name, value in found.items() if value}


def write_image_features(
    cfg: Config,
    model: ReIDNet,
    weights_sha256: str,
    records: Sequence[ImageRecord],
    output: Path,
    *,
    overwrite: bool = False,
    compared: bool = False,
) -> None:
    """Extract the features of some images into an .npy file, or finish what an earlier call began.

    Args:
        cfg: how images are read, and by which engine.
        model: the network, with its weights.
        weights_sha256: of the weights.
        records: the images, (N,).
        output: see `write_features`.
        overwrite: see `write_features`.
        compared: with the 768 numbers of colour beside the network's, where eval.colour gives it a share.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.datasets.colour import COLOUR_DIM
    from ppreid.evaluation.inputs import beside_colour

    colour_weight = cfg.eval.colour if compared else 0.0

    def blocks_from(first_row: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        loader = wiring.feature_loader(records, cfg.data, cfg.eval, first_row=first_row)
        blocks = feature_blocks(model, loader, engine=engine, precision=cfg.eval.precision)
        if not colour_weight:
            return blocks
        return (
            (
                beside_colour(block, wiring.colour([records[row] for row in rows], cfg.data)(), weight=colour_weight),
                rows,
            )
            for block, rows in blocks
        )

    engine = wiring.finished_engine(cfg.eval)
    # what is installed decides as well: rows of two engines are not mixed when a command goes on
    name = " or ".join(engines_tried(engine)) or engine
    origin, dim = {**made_with(cfg, weights_sha256), "engine": f"{name}, {cfg.eval.precision}"}, model.feature_dim
    if colour_weight:
        dim, origin[COLOUR_SHARE] = dim + COLOUR_DIM, f"{colour_weight:g}"
    _write(cfg, records, output, dim=dim, origin=origin, blocks_from=blocks_from, overwrite=overwrite)


def write_colour_features(
    cfg: Config, records: Sequence[ImageRecord], output: Path, *, overwrite: bool = False
) -> None:
    """Write the colour of some images into an .npy file, see `colour_features`, or finish what an earlier call began.

    Args:
        cfg: how many workers read images.
        records: the images, (N,).
        output: see `write_features`.
        overwrite: see `write_features`.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.datasets.colour import BINS, COLOUR_DIM, STRIPES, colour_features

    def blocks_from(first_row: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(first_row, len(records), _COLOUR_BLOCK):
            block = records[start : start + _COLOUR_BLOCK]
            yield colour_features(block, num_workers=cfg.data.num_workers), np.arange(start, start + len(block))

    origin = {"features": f"colour, {STRIPES} stripes, {BINS} bins"}
    _write(cfg, records, output, dim=COLOUR_DIM, origin=origin, blocks_from=blocks_from, overwrite=overwrite)


def _write(
    cfg: Config,
    records: Sequence[ImageRecord],
    output: Path,
    *,
    dim: int,
    origin: Mapping[str, str],
    blocks_from: Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]],
    overwrite: bool,
) -> None:
    """Write features of images, and say so."""
    from ppreid.disk.feature_writer import write_features

    images = {
        "images": hashlib.sha256(repr(tuple(records)).encode()).hexdigest(),
        "image files": contents_digest(records, num_workers=cfg.data.num_workers),
    }

    def counted(first_row: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        logger.info("%d images, %d of them already done", len(records), first_row)
        return blocks_from(first_row)

    write_features(
        output,
        records,
        dim=dim,
        origin={**origin, **images},
        blocks_from=counted,
        check=check_not_collapsed,
        overwrite=overwrite,
    )
    logger.info("written: %s, %s", output, output.with_suffix(".csv"))
