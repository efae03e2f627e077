"""Features of images, in memory or to a file, and what decides them: for several verbs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppreid import tables, wiring
from ppreid.base.records import ImageRecord
from ppreid.config.data import DataConfig
from ppreid.config.schema import Config
from ppreid.datasets.image_file import Source, named_images
from ppreid.datasets.summary import contents_digest
from ppreid.models.reid_net import ReIDNet
from ppreid.neighbours.checks import check_not_collapsed
from ppreid.training.extract import engines_tried, feature_blocks

if TYPE_CHECKING:
    from paddle.nn import Layer

    from ppreid.disk.shards import Shard
    from ppreid.neighbours.within_tracks import WithinTracks

logger = logging.getLogger("ppreid")

_COLOUR_BLOCK = 256  # images whose colour is written at a time
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


def write_image_features(
    cfg: Config,
    model: ReIDNet,
    weights_sha256: str,
    records: Sequence[ImageRecord],
    output: Path,
    *,
    overwrite: bool = False,
    compared: Mapping[str, WithinTracks] | None = None,
    shard: Shard | None = None,
    merge: int | None = None,
) -> None:
    """Extract the features of some images into an .npy file, or finish what an earlier call began.

    Args:
        cfg: how images are read, and by which engine.
        model: the network, with its weights.
        weights_sha256: of the weights.
        records: the images, (N,).
        output: see `write_features`.
        overwrite: see `write_features`.
        compared: as a search compares them, behind these maps, see `compared_rows`; None: as the network gives them.
        shard: write this part only, beside the output; None writes all.
        merge: number of shards that are put together, instead of running the network.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    network: Layer = model
    if compared is not None and cfg.eval.flip:
        from ppreid.models.flip import FlipAveraged

        network = FlipAveraged(model)

    def blocks_of(rows: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        loader = wiring.feature_loader(records, cfg.data, cfg.eval, rows=rows)
        blocks = feature_blocks(network, loader, engine=engine, precision=cfg.eval.precision)
        if compared is None:
            return blocks
        from ppreid.wiring.compared import compared_rows

        prepare = partial(compared_rows, weight=cfg.eval.colour, maps=compared)
        of = partial(wiring.colour, data=cfg.data)
        return ((prepare(block, of([records[row] for row in rows])), rows) for block, rows in blocks)

    engine = wiring.finished_engine(cfg.eval)
    # what is installed decides as well: rows of two engines are not mixed when a command goes on
    name = " or ".join(engines_tried(engine)) or engine
    origin, dim = {**made_with(cfg, weights_sha256), "engine": f"{name}, {cfg.eval.precision}"}, model.feature_dim
    if compared is not None:
        from ppreid.datasets.colour import COLOUR_DIM
        from ppreid.search.track_maps import MAPS, maps_digest
        from ppreid.wiring.compared import compared_by

        dim += COLOUR_DIM if cfg.eval.colour else 0
        origin |= compared_by(cfg) | ({MAPS: maps_digest(compared)} if compared else {})
    _write(cfg, records, output, dim, origin, blocks_of, overwrite=overwrite, shard=shard, merge=merge)


def write_colour_features(
    cfg: Config,
    records: Sequence[ImageRecord],
    output: Path,
    *,
    overwrite: bool = False,
    shard: Shard | None = None,
    merge: int | None = None,
) -> None:
    """Write the colour of some images into an .npy file, see `colour_features`, or finish what an earlier call began.

    Args:
        cfg: how many workers read images.
        records: the images, (N,).
        output: see `write_features`.
        overwrite: see `write_features`.
        shard: see `write_image_features`.
        merge: see `write_image_features`.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.datasets.colour import BINS, COLOUR_DIM, STRIPES, colour_features

    def blocks_of(rows: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(rows.start, rows.stop, _COLOUR_BLOCK):
            block = records[start : min(start + _COLOUR_BLOCK, rows.stop)]
            yield colour_features(block, num_workers=cfg.data.num_workers), np.arange(start, start + len(block))

    origin = {"features": f"colour, {STRIPES} stripes, {BINS} bins"}
    _write(cfg, records, output, COLOUR_DIM, origin, blocks_of, overwrite=overwrite, shard=shard, merge=merge)


def _write(
    cfg: Config,
    records: Sequence[ImageRecord],
    output: Path,
    dim: int,
    origin: Mapping[str, str],
    blocks_of: Callable[[range], Iterator[tuple[np.ndarray, np.ndarray]]],
    *,
    overwrite: bool,
    shard: Shard | None,
    merge: int | None,
) -> None:
    """Write features of images, of a shard of them, or of all shards, and say so."""
    from ppreid.disk.feature_shards import blocks_of_shards
    from ppreid.disk.feature_writer import write_features

    origin = {**origin, "images": hashlib.sha256(repr(tuple(records)).encode()).hexdigest()}
    rows, batch = range(len(records)), cfg.eval.batch_size
    if shard or merge is not None:
        origin["batch size"] = str(batch)  # the bits of a feature may hang on how many images are computed at once
    if merge is not None:
        blocks_of = blocks_of_shards(output, merge, origin, num_rows=len(records), block=batch)
    elif shard:
        rows, output = shard.rows(len(records), block=batch), shard.file(output)
        origin["shard"] = str(shard)
        if not rows:
            logger.info("shard %s has no images: there are fewer batches than shards", shard)
            return
    own = records[rows.start : rows.stop]
    if merge is None:
        origin["image files"] = contents_digest(own, num_workers=cfg.data.num_workers)

    def counted(first_row: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        logger.info("%d images, %d of them already done", len(own), first_row)
        return ((block, found - rows.start) for block, found in blocks_of(rows[first_row:]))

    write_features(
        output,
        own,
        dim=dim,
        origin=origin,
        blocks_from=counted,
        check=check_not_collapsed if not shard else lambda _: None,  # a few images may well be alike
        overwrite=overwrite,
        keep_notes=shard is not None,
    )
    logger.info("written: %s, %s", output, output.with_suffix(".csv"))
