"""One ONNX file that another program's tracker takes, and what its own way to resize crops costs.

A network is trained on crops that Pillow resized with an antialiased bicubic filter. Trackers resize with two taps per
axis and no smoothing, whatever they shrink, and no file can change that; so it is measured.

Note:
    The contracts are those of the released packages ultralytics 8.4.190 and boxmot 25.0.0; `make test-trackers` loads
    the files with the newest ones.
"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.records import ImageRecord, ReIDSplit, ids
from ppreid.contracts import Ranker
from ppreid.datasets.transforms import resize
from ppreid.demo.generated import draw_people
from ppreid.disk.files import file_sha256, replacing, write_text
from ppreid.evaluation.ranking import RankingResult
from ppreid.export.description import Description
from ppreid.export.exported import ONNX_FILE, ExportedNetwork
from ppreid.export.network import OPSET
from ppreid.export.predict import feature_blocks
from ppreid.export.write import NetworkFacts, checked_export, describe
from ppreid.models.reid_net import ReIDNet
from ppreid.tables import EXPORT_TARGETS, resolve

logger = logging.getLogger("ppreid")

Resize = Callable[..., Any]  # (image, *, height, width) -> what numpy reads as RGB (height, width, 3), 0 to 255
CROP_HEIGHTS = (64, 128, 256, 512)  # of people in recordings, from far away to near
CROPS_PER_HEIGHT = 8
BATCH = 32


def boxmot_sidecar(description: Description, onnx_sha256: str) -> str:
    """What boxmot reads beside an ONNX file instead of guessing from its name.

    Args:
        description: of the network.
        onnx_sha256: of the file.

    Returns:
        JSON text.
    """
    _, channels, height, width = description.input.shape
    facts = {
        "schema_version": 1,
        "source": f"ppreid {description.ppreid}",
        "source_sha256": description.weights_sha256,
        "model_name": description.backbone,
        "model_kwargs_schema_version": 1,
        "model_kwargs": {"img_size": [height, width]},
        "img_size": [height, width],
        "preprocess": "resize",
        "format": "onnx",
        "input_name": description.input.name,
        "output_names": [description.output.name],
        "input_shape": [1, channels, height, width],
        "dynamic_batch": True,
        "precision": "float32",
        "opset": OPSET,
        "artifact_sha256": onnx_sha256,
    }
    return json.dumps(facts, indent=2) + "\n"


class ResizingLoss(NamedTuple):
    """What a program's own way to resize does to the features of crops of one height.

    Attributes:
        crop_height: of the crops, in pixels.
        mean: cosine between both features of a crop, mean over the crops.
        least: the least of them.
    """

    crop_height: int
    mean: float
    least: float


def resizing_loss(network: ExportedNetwork, theirs: Resize) -> list[ResizingLoss]:
    """Compare features of drawn people, resized as a tracker does, with those of ppreid's own resizing.

    Args:
        network: the exported one.
        theirs: how the tracker resizes.

    Returns:
        One row for each of CROP_HEIGHTS.
    """
    rows = []
    height, width = network.manifest.input.size
    for crop_height in CROP_HEIGHTS:
        people = draw_people(CROPS_PER_HEIGHT, height=crop_height, width=crop_height // 2)
        features = [
            network.forward(np.stack([np.asarray(way(person, height=height, width=width)) for person in people]))
            for way in (resize, theirs)
        ]  # twice (n, D)
        cosines = (features[0] * features[1]).sum(axis=1)  # (n,)
        rows.append(ResizingLoss(crop_height, float(cosines.mean()), float(cosines.min())))
    return rows


def loss_table(rows: Sequence[ResizingLoss], *, target: str) -> str:
    """Text table of what a tracker's resizing costs."""
    header = f"{f'crops as {target} resizes them':<36}{'mean cosine':>12}{'least':>8}"
    lines = [f"{f'drawn people, {row.crop_height} pixels high':<36}{row.mean:>12.4f}{row.least:>8.4f}" for row in rows]
    return "\n".join([header, "-" * len(header), *lines])


def ranking_with(
    network: ExportedNetwork, split: ReIDSplit, theirs: Resize, *, rank: Ranker[RankingResult]
) -> dict[str, RankingResult]:
    """Evaluate an exported network on query and gallery, with both ways to resize.

    Args:
        network: the exported one.
        split: with query and gallery.
        theirs: how the tracker resizes.
        rank: features, identities and cameras of query and gallery to metrics.

    Returns:
        "Pillow" and "theirs" to their metrics.

    Raises:
        DataError: an image cannot be read.
        EvaluationError: no query has a valid match.
    """
    (query_pids, query_camids), (gallery_pids, gallery_camids) = ids(split.query), ids(split.gallery)
    results = {}
    for name, way in (("Pillow", resize), ("theirs", theirs)):
        query, gallery = (_features(network, part, way) for part in (split.query, split.gallery))  # (Q, D), (G, D)
        results[name] = rank(query, gallery, query_pids, gallery_pids, query_camids, gallery_camids)
    return results


def _features(network: ExportedNetwork, records: Sequence[ImageRecord], way: Resize) -> np.ndarray:
    """Features (n, D) of the images of records."""
    paths = [record.path for record in records]
    return np.concatenate([block for block, _ in feature_blocks(network, paths, batch_size=BATCH, resize=way)])


def write_for_tracker(
    model: ReIDNet,
    output: Path,
    facts: NetworkFacts,
    *,
    target: str,
    evaluate: Callable[[ExportedNetwork, Resize], None] | None = None,
) -> list[ResizingLoss]:
    """Write a network as one ONNX file for a tracker, unless it does not compute the network's features.

    Args:
        model: with its weights; on the CPU.
        output: the file, NAME.onnx; what the tracker reads beside it is written as well.
        facts: of the network.
        target: a key of EXPORT_TARGETS.
        evaluate: is given the exported network and how the tracker resizes, before anything is written.

    Returns:
        What the tracker's resizing does to the features of drawn people.

    Raises:
        ConfigError: the network cannot be exported, or computes something else.
        WeightsError: the network gives every image the same features.
        WriteError: a file cannot be written.
    """
    row = EXPORT_TARGETS[target]
    theirs: Resize = resolve(row.resize)
    described = describe(model, facts, layout=row.layout)
    with checked_export(model, described, mean=facts.mean, std=facts.std, formats=["onnx"]) as (folder, networks, _):
        network = networks["onnx"]
        rows = resizing_loss(network, theirs)
        logger.info("features beside those of Pillow's bicubic resizing\n%s", loss_table(rows, target=target))
        if evaluate:
            evaluate(network, theirs)
        content, digest = (folder / ONNX_FILE).read_bytes(), file_sha256(folder / ONNX_FILE)
    with replacing(output) as file:
        file.write(content)
    logger.info("written: %s", output)
    if row.sidecar:
        beside = sidecar_path(output)
        write_text(beside, resolve(row.sidecar)(described, digest))
        logger.info("written: %s", beside)
    return rows


def sidecar_path(output: Path) -> Path:
    """Where a tracker looks for what belongs to an ONNX file."""
    return output.with_name(f"{output.name}.metadata.json")
