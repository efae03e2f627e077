"""What the network and the data set add to a report: rankings, clusters with their images, the map of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ppreid.base.records import ImageRecord
from ppreid.evaluation.inputs import Identities
from ppreid.evaluation.ranking import RankingResult
from ppreid.report.cluster_sheets import Group, Sheet, TrainingImages, cluster_sheets, outlier_group
from ppreid.report.ranked_queries import (
    DistanceHistogram,
    RankedQuery,
    choose_queries,
    distance_histogram,
    rank_queries,
)
from ppreid.report.tables import CameraFacts, ClusterFacts, all_known, camera_facts, cluster_facts

if TYPE_CHECKING:
    from ppreid.clustering.sweep import EpsAdvice
    from ppreid.evaluation.without_labels import LabelFreeResult
    from ppreid.report.across_cameras import AcrossCameras

_SHEET_IMAGES, _OUTLIERS = 18, 48


class RankingEvidence(NamedTuple):
    """Of query and gallery.

    Attributes:
        query: images.
        gallery: images.
        result: metrics.
        histogram: distances of positives and negatives.
        lists: rank lists of some queries.
    """

    query: Sequence[ImageRecord]
    gallery: Sequence[ImageRecord]
    result: RankingResult
    histogram: DistanceHistogram
    lists: list[RankedQuery]


class ClusterEvidence(NamedTuple):
    """Of the newest pseudo labels.

    Attributes:
        train: images; None where they are not known, and with them the sheets.
        labels: (N,) cluster of every image, -1 for outliers.
        facts: of every cluster, the largest first.
        cameras: images and outliers of every camera.
        sheets: clusters and identities to look at.
        outliers: some of them.
        num_identities: in truth; None where not all are known.
    """

    train: Sequence[ImageRecord] | None
    labels: np.ndarray
    facts: list[ClusterFacts]
    cameras: list[CameraFacts]
    sheets: list[Sheet]
    outliers: Group
    num_identities: int | None


class MapEvidence(NamedTuple):
    """Features in two dimensions.

    Attributes:
        train: images.
        rows: (n,) of the images in the map.
        points: (n, 2) within the unit square.
        labels: (n,) cluster, -1 for outliers; None before the first pseudo labels.
        projection: how it was made, e.g. "pca".
    """

    train: Sequence[ImageRecord]
    rows: np.ndarray
    points: np.ndarray
    labels: np.ndarray | None
    projection: str


class Evidence(NamedTuple):
    """All of it; a part is None where the run or its data set has nothing to show.

    Attributes:
        ranking: of query and gallery.
        clusters: of the newest pseudo labels.
        feature_map: of training images.
        notes: what is missing, and why.
        network: which one was looked at, e.g. "the network after epoch 14".
        without_labels: what tracks tell of the network, as lines of text; empty where they tell nothing.
        tracks: the same in numbers.
        eps: which one a sweep over the training images recommends; None where there was none.
        across: rank lists across cameras of a run without labels.
    """

    ranking: RankingEvidence | None = None
    clusters: ClusterEvidence | None = None
    feature_map: MapEvidence | None = None
    notes: Sequence[str] = ()
    network: str = ""
    without_labels: str = ""
    tracks: LabelFreeResult | None = None
    eps: EpsAdvice | None = None
    across: AcrossCameras | None = None


def ranking_evidence(
    features: np.ndarray,
    query: Sequence[ImageRecord],
    gallery: Sequence[ImageRecord],
    ids: Identities,
    result: RankingResult,
    *,
    per_kind: int,
    ignore_camera: bool,
    seed: int,
) -> RankingEvidence:
    """Choose queries and rank the gallery for them.

    Args:
        features: (Q + G, D) unit rows.
        query: Q images.
        gallery: G images.
        ids: their identities and cameras.
        result: of the evaluation of these features.
        per_kind: queries of each kind.
        ignore_camera: as in the evaluation.
        seed: for the random queries.
    """
    query_features, gallery_features = features[: len(query)], features[len(query) :]
    rng = np.random.default_rng(seed)
    chosen = choose_queries(result.average_precision, per_kind=per_kind, rng=rng)
    lists = rank_queries(
        query_features, gallery_features, ids, chosen, result.average_precision, ignore_camera=ignore_camera
    )
    histogram = distance_histogram(query_features, gallery_features, ids, ignore_camera=ignore_camera, rng=rng)
    return RankingEvidence(query, gallery, result, histogram, lists)


def cluster_evidence(
    labels: np.ndarray, train: Sequence[ImageRecord] | None, *, per_kind: int, seed: int
) -> ClusterEvidence:
    """Look at pseudo labels.

    Args:
        labels: (N,) cluster of every image, -1 for outliers.
        train: N images; None where they are not known.
        per_kind: contact sheets of each kind.
        seed: for the outliers to show.
    """
    unknown = np.full(len(labels), -1)
    pids = unknown if train is None else np.array([record.pid for record in train], dtype=np.int64)
    camids = unknown if train is None else np.array([record.camid for record in train], dtype=np.int64)
    images = TrainingImages(labels, pids, camids)
    facts = cluster_facts(labels, pids, camids)
    return ClusterEvidence(
        train,
        labels,
        facts,
        camera_facts(labels, camids) if (camids >= 0).any() else [],
        [] if train is None else cluster_sheets(images, facts, per_kind=per_kind, images=_SHEET_IMAGES),
        outlier_group(images, images=0 if train is None else _OUTLIERS, rng=np.random.default_rng(seed)),
        len(np.unique(pids)) if all_known(pids) else None,
    )
