"""ppreid eval --without-labels: error rates and threshold of a network, from what tracks tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppreid.base.errors import DataError, EvaluationError
from ppreid.base.records import ImageRecord, ReIDSplit, ids, tracks
from ppreid.config.data import DataConfig
from ppreid.config.schema import Config, TrainingConfig
from ppreid.disk.files import explained, write_text
from ppreid.disk.outputs import RESULTS_JSON, THRESHOLD_JSON, Output, check_outputs
from ppreid.run.log import log_result, logger

if TYPE_CHECKING:
    from paddle.nn import Layer

    from ppreid.evaluation.without_labels import LabelFreeResult
    from ppreid.report.evidence import Evidence

MAX_TRACKED = 3000  # images that are extracted for a report, about as many as for its map


def evaluate_without_labels(cfg: Config, *, overwrite: bool = False) -> LabelFreeResult:
    """Measure a trained network on the tracks of images, and keep the threshold that follows.

    Args:
        cfg: what to evaluate. Of a data set the query and gallery images are taken where their tracks are known, and
            otherwise those of the training part.
        overwrite: replace any file in the place of the results, not only those of an earlier evaluation.

    Returns:
        Error rates and thresholds. They are also in output_dir: in without_labels.json, and what a search needs of
        them in threshold.json.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.evaluation.without_labels import RECOMMENDED, format_without_labels, without_labels_to_dict
    from ppreid.neighbours.checks import check_not_collapsed
    from ppreid.processes.device import use_device
    from ppreid.report.run_files import camera_names
    from ppreid.run.folder import BAD_IMAGES, CAMERAS, WITHOUT_LABELS
    from ppreid.search.threshold import THRESHOLD, Threshold, write_threshold
    from ppreid.verbs.inputs import read_split
    from ppreid.verbs.network import trained_network
    from ppreid.wiring.compared import compared_by, compared_features

    logger.info("device: %s", use_device(cfg.device))
    folder = Path(cfg.output_dir)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    split = read_split(cfg.data, skipped_list=folder / BAD_IMAGES, camera_list=folder / CAMERAS, overwrite=overwrite)
    records = tracked_images(split, cfg.data)
    model, weights = trained_network(cfg.model, cfg.data)
    outputs = [Output("", folder / WITHOUT_LABELS, RESULTS_JSON), Output("", folder / THRESHOLD, THRESHOLD_JSON)]
    check_outputs(outputs, overwrite=overwrite)
    features = compared_features(cfg, model, split=split, centred=True, finished=True)(records)
    check_not_collapsed(features)
    result = measured(features, records, shared_clock=cfg.data.shared_clock)
    log_result(format_without_labels(result, camera_names(folder / CAMERAS)))
    if isinstance(cfg, TrainingConfig) and records[0] in split.train:
        logger.info(
            "these images are those that this configuration trains on, so that other recordings will have more errors; "
            "measure on some of them as well: -o data.root=FOLDER"
        )
    if cfg.eval.within_tracks and records[0] in split.train:
        logger.info(
            "eval.within_tracks learned from the tracks of these images: those of other tracks are less similar"
        )
    facts = {"config": cfg.model_dump(), "weights": weights._asdict(), "results": without_labels_to_dict(result)}
    write_text(folder / WITHOUT_LABELS, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    found = Threshold(result.same, result.other, RECOMMENDED, weights.sha256, compared_by(cfg, split))
    write_threshold(folder / THRESHOLD, found)
    for output in outputs:
        logger.info("written: %s", output.path)
    return result


def told_by_tracks(
    evidence: Evidence, cfg: TrainingConfig, split: ReIDSplit, model: Layer, cameras: Mapping[int, str]
) -> Evidence:
    """Evidence of a report with what the tracks of a data set tell of the network, or why they tell nothing."""
    from ppreid.evaluation.without_labels import format_without_labels
    from ppreid.wiring.compared import compared_features

    try:
        records = some_tracks(tracked_images(split, cfg.data), MAX_TRACKED)
        features = compared_features(cfg, model, split=split, centred=True)(records, description="report: tracks")
        result = measured(features, records, shared_clock=cfg.data.shared_clock)
    except (DataError, EvaluationError) as error:
        return evidence._replace(notes=[*evidence.notes, f"There is nothing from tracks: {error}"])
    return evidence._replace(tracks=result, without_labels=format_without_labels(result, cameras))


def tracked_images(split: ReIDSplit, cfg: DataConfig) -> list[ImageRecord]:
    """Images to measure on without labels: those with a track of query and gallery, or of the training part.

    Raises:
        EvaluationError: no track is known, or the times of tracks do not compare.
    """
    tests, train = (
        [record for record in part if record.track >= 0] for part in (split.query + split.gallery, split.train)
    )
    if not (tests or train):
        raise EvaluationError(
            f"no image of data set {cfg.name} has a known track, and without tracks nothing can be measured without "
            "labels; give a tracks.csv or data.track_pattern (docs/own-cameras.md)"
        )
    if not cfg.times_compare:
        raise EvaluationError(
            "every track counts its times from its own beginning (data.clock, or the data set), so that no two are "
            "known to have been seen at once, and nothing can be measured without labels"
        )
    return tests or train


def measured(features: np.ndarray, records: Sequence[ImageRecord], *, shared_clock: bool = False) -> LabelFreeResult:
    """What tracks tell of the features (N, D) of images; `shared_clock` as in `seen_at_once`."""
    from ppreid.datasets.track_times import seen_at_once
    from ppreid.evaluation.between_cameras import at_once_between_cameras, between_cameras
    from ppreid.evaluation.track_pairs import reassociation, track_pairs
    from ppreid.evaluation.without_labels import evaluate_pairs

    pids, camids = ids(records)
    known = (*tracks(records), camids)
    apart = seen_at_once(*known)
    pairs = track_pairs(features, *known, apart=apart)
    result = evaluate_pairs(pairs, reassociation(features, *known, apart=apart))
    between = between_cameras(features, known[0], camids, pids, threshold=result.same)
    result = result._replace(num_cameras=len(np.unique(camids[camids >= 0])), between=between)
    if not shared_clock:
        return result
    everyone = seen_at_once(*known, shared_clock=True)
    at_once = at_once_between_cameras(features, *known, apart=everyone, threshold=result.same)
    return result._replace(at_once=at_once)


def some_tracks(records: Sequence[ImageRecord], limit: int) -> list[ImageRecord]:
    """Images of whole tracks, about so many, the first of each camera: tracks near in time were seen at once."""
    if len(records) <= limit:
        return list(records)
    begins: dict[int, float] = {}
    for record in records:
        begins[record.track] = min(record.time, begins.get(record.track, record.time))
    cameras = {record.camid for record in records}
    chosen: list[ImageRecord] = []
    for camid in sorted(cameras):
        own = sorted((r for r in records if r.camid == camid), key=lambda r: (begins[r.track], r.track, r.time))
        last = own[min(len(own), -(-limit // len(cameras))) - 1].track  # this one as a whole
        chosen += own[: max(place for place, record in enumerate(own) if record.track == last) + 1]
    return chosen
