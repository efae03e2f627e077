"""The story of extraction: images, network, a file of features."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from ppreid import wiring
from ppreid.app.inputs import read_folder, read_split, trained_network
from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord
from ppreid.config.schema import Config
from ppreid.disk.feature_writer import Blocks, write_features
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.device import use_device
from ppreid.training.extract import feature_blocks

logger = logging.getLogger("ppreid")

NETWORK_KEYS = {"backbone", "base_width", "last_stride", "pooling", "embedding_dim"}


def extract(cfg: Config, output: Path, *, part: str = "train", images: Path | None = None) -> None:
    """Write the features of many images; the same call continues an extraction that was interrupted.

    Args:
        cfg: the network and how images are read; of a training configuration only the keys that evaluation reads.
        output: .npy file to write, (N, D) float32; a CSV with path, pid and camid of each row gets the same name.
        part: part of the data set: "train", "query" or "gallery".
        images: folder of images, searched with its subfolders, instead of a data set.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    logger.info("device: %s", use_device(cfg.device))
    skipped_list = output.with_suffix(".bad_images.txt")
    if images:
        records = read_folder(images, cfg.data, skipped_list=skipped_list)
    else:
        records = getattr(read_split(cfg.data, skipped_list=skipped_list), part)
    if not records:
        raise DataError(f"data set {cfg.data.name} has no image in its {part} part")
    model, weights = trained_network(cfg.model)
    write_image_features(cfg, model, weights["sha256"], records, output)


def made_with(cfg: Config, weights_sha256: str) -> dict[str, str]:
    """What decides the feature of an image, by name."""
    return {
        "weights": weights_sha256,
        "network": json.dumps(cfg.model.model_dump(include=NETWORK_KEYS), sort_keys=True),
        "image size": f"{cfg.data.height} x {cfg.data.width}",
    }


def write_image_features(
    cfg: Config, model: ReIDNet, weights_sha256: str, records: Sequence[ImageRecord], output: Path
) -> None:
    """Extract the features of some images into an .npy file, or finish what an earlier call began.

    Args:
        cfg: how images are read, and by which engine.
        model: the network, with its weights.
        weights_sha256: of the weights.
        records: the images, (N,).
        output: see `write_features`.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    origin = {
        **made_with(cfg, weights_sha256),
        "engine": f"{cfg.eval.engine}, {cfg.eval.precision}",
        "images": hashlib.sha256(repr(tuple(records)).encode()).hexdigest(),
    }

    def blocks_from(first_row: int) -> Blocks:
        logger.info("%d images, %d of them already done", len(records), first_row)
        loader = wiring.feature_loader(records, cfg.data, cfg.eval, first_row=first_row)
        return feature_blocks(model, loader, engine=cfg.eval.engine, precision=cfg.eval.precision)

    write_features(output, records, dim=model.feature_dim, origin=origin, blocks_from=blocks_from)
    logger.info("written: %s, %s", output, output.with_suffix(".csv"))
