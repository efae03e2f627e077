"""What reports show of training images without their labels: which eps to take, and rank lists across cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ppreid import tables, wiring
from ppreid.base.records import ImageRecord, ids
from ppreid.clustering.sweep import EpsAdvice, advised_eps
from ppreid.report.run_files import RunFiles, same_images

if TYPE_CHECKING:
    from paddle.nn import Layer
    from PIL import Image

    from ppreid.base.records import ReIDSplit
    from ppreid.config.schema import TrainingConfig
    from ppreid.contracts import ImageFeatures
    from ppreid.report.across_cameras import AcrossCameras

MAX_IMAGES = 3000  # beyond, a sweep takes minutes, and the neighbours of a part of the images are not those of all
_EPS = tuple(round(0.2 + 0.05 * step, 2) for step in range(13))  # 0.2 to 0.8


class TrainingEvidence(NamedTuple):
    """What the training images show.

    Attributes:
        extract: gives features, from memory where it has them.
        eps: what a sweep recommends; None with more than MAX_IMAGES images or a clusterer that does not look at eps.
        across: rank lists across cameras of a run without labels; None with fewer than two.
    """

    extract: ImageFeatures
    eps: EpsAdvice | None
    across: AcrossCameras | None


def unlabelled_evidence(cfg: TrainingConfig, split: ReIDSplit, model: Layer, run: RunFiles) -> TrainingEvidence:
    """Look at the training images of a run without labels, at all or at random ones, which are extracted once.

    Args:
        cfg: of the run.
        split: its data set.
        model: its network.
        run: what its folder says.
    """
    from ppreid.report.across_cameras import AcrossCameras, rank_across_cameras

    # the same seed as for the map, whose images are the first of the same order
    rows = np.sort(np.random.default_rng(cfg.seed).permutation(len(split.train))[:MAX_IMAGES])
    records, extract = [split.train[row] for row in rows], wiring.feature_extractor(cfg, model)
    features = compared = extract(records, description="report: training images")
    eps = _advised(cfg, features, records) if _is_swept(cfg, split) else None
    if cfg.eval.colour or cfg.eval.camera_centre or cfg.eval.within_tracks or cfg.eval.flip:
        from ppreid.wiring.compared import compared_features

        extract_compared = compared_features(cfg, model, split=split, centred=True)
        compared = extract_compared(records, description="report: rank lists")
    known = run.labels and same_images(run.labels.names, [record.path for record in split.train])
    labels = run.labels.labels[rows] if run.labels and known else None
    rng = np.random.default_rng(cfg.seed)
    lists = rank_across_cameras(compared, ids(records)[1], labels, per_kind=cfg.report.queries, rng=rng)
    across = AcrossCameras(records, lists, len(split.train) - len(records)) if lists else None
    return TrainingEvidence(_remembered(extract, records, features), eps, across)


def labelled_evidence(cfg: TrainingConfig, split: ReIDSplit, model: Layer) -> TrainingEvidence:
    """As `unlabelled_evidence`, of a run with queries, whose own lists say more than those across cameras.

    Args:
        cfg: of the run.
        split: its data set.
        model: its network.
    """
    eps, extract = None, wiring.feature_extractor(cfg, model)
    if _is_swept(cfg, split):
        features = extract(split.train, description="report: training images")
        eps, extract = _advised(cfg, features, split.train), _remembered(extract, split.train, features)
    if cfg.eval.flip:  # the lists are those of the evaluation
        extract = wiring.feature_extractor(cfg, model, flip=True)
    return TrainingEvidence(extract, eps, None)


def _is_swept(cfg: TrainingConfig, split: ReIDSplit) -> bool:
    return 0 < len(split.train) <= MAX_IMAGES and tables.CLUSTERERS[cfg.labels.clusterer].looks_at_eps


def _advised(cfg: TrainingConfig, features: np.ndarray, records: Sequence[ImageRecord]) -> EpsAdvice:
    from ppreid.wiring.sweep import swept

    return advised_eps(*swept(cfg, features, records, _EPS))


def _remembered(extract: ImageFeatures, records: Sequence[ImageRecord], features: np.ndarray) -> ImageFeatures:
    """As `extract`, without reading the images again whose features (N, D) are known."""
    rows = {record.path: row for row, record in enumerate(records)}

    def known(
        records: Sequence[ImageRecord],
        *,
        description: str = "extract",
        held: Mapping[int, Image.Image] | None = None,
    ) -> np.ndarray:
        if all(record.path in rows for record in records):
            return features[[rows[record.path] for record in records]]
        return extract(records, description=description, held=held)

    return known
