"""The story of prediction: an exported network, images, their features; without any code of training."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ppreid.base.progress import progress
from ppreid.base.records import ImageRecord
from ppreid.datasets.image_file import load_image
from ppreid.datasets.image_folder import find_images
from ppreid.datasets.summary import contents_digest
from ppreid.datasets.transforms import resize
from ppreid.disk.feature_writer import Blocks, write_features
from ppreid.disk.outputs import refuse_inputs
from ppreid.export.exported import ExportedNetwork, open_exported

logger = logging.getLogger("ppreid")

DECODING_THREADS = 4


def predict(
    exported: Path,
    images: Sequence[Path],
    output: Path,
    *,
    runtime: str = "auto",
    batch_size: int = 32,
    overwrite: bool = False,
) -> None:
    """Write the features of many images; the same call continues one that was interrupted.

    Args:
        exported: folder made by tools/export.py.
        images: files, and folders that are searched with their subfolders.
        output: .npy file to write, (N, D) float32; a CSV with the paths gets the same name.
        runtime: see `open_exported`.
        batch_size: images per forward pass.
        overwrite: replace a finished file, or a CSV of that name that no call has written; an input never.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    for path in (output, output.with_suffix(".csv")):
        refuse_inputs("--out", path, [path for path in images if os.path.isfile(path)])
    network = open_exported(exported, runtime=runtime)
    description = network.manifest
    logger.info(
        "network: %s, run by %s (%s, weights %s)",
        exported,
        network.runtime,
        description.backbone,
        description.weights_sha256,
    )
    if description.evaluation.text:
        logger.info(
            "where this network is from, searches compare by more than these features: %s", description.evaluation.text
        )
    records: list[ImageRecord] = []
    for path in images:
        records += find_images(path) if os.path.isdir(path) else [ImageRecord(str(path), pid=-1, camid=-1)]
    origin = {
        "weights": description.weights_sha256,
        "runtime": network.runtime,
        "images": hashlib.sha256(repr(records).encode()).hexdigest(),
        "image files": contents_digest(records),
    }
    paths = [record.path for record in records]

    def blocks_from(first_row: int) -> Blocks:
        logger.info("%d images, %d of them already done", len(records), first_row)
        return feature_blocks(network, paths, first_row=first_row, batch_size=batch_size)

    dim = description.output.shape[1]
    write_features(output, records, dim=dim, origin=origin, blocks_from=blocks_from, overwrite=overwrite)
    logger.info("written: %s, %s", output, output.with_suffix(".csv"))


def compare(exported: Path, first: Path, second: Path, *, runtime: str = "auto") -> float:
    """Cosine similarity of two images, -1 to 1; the same person is closer to 1.

    Args:
        exported: folder made by tools/export.py.
        first: an image file.
        second: an image file.
        runtime: see `open_exported`.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    network = open_exported(exported, runtime=runtime)
    ((features, _),) = feature_blocks(network, [str(first), str(second)], batch_size=2)  # (2, D)
    return float(features[0] @ features[1])


def feature_blocks(
    network: ExportedNetwork,
    paths: Sequence[str],
    *,
    first_row: int = 0,
    batch_size: int,
    resize: Callable[..., Any] = resize,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run an exported network over image files, batch by batch.

    Args:
        network: see `open_exported`.
        paths: (N,) image files.
        first_row: where to start.
        batch_size: images per forward pass.
        resize: (image, *, height, width) to what numpy reads as (H, W, 3).

    Yields:
        Unit features (B, D) float32 and their rows (B,).

    Raises:
        DataError: an image cannot be read.
    """
    height, width = network.manifest.input.size

    def pixels(path: str) -> np.ndarray:
        return np.asarray(resize(load_image(path), height=height, width=width))  # (H, W, 3)

    starts = range(first_row, len(paths), batch_size)
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        for start in progress(starts, total=len(starts), description="predict"):
            batch = list(pool.map(pixels, paths[start : start + batch_size]))
            yield network.forward(np.stack(batch)), np.arange(start, start + len(batch))
