"""Rank lists where nobody is known: a training image is the query, those of all other cameras are the gallery."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ppreid.base.records import ImageRecord
from ppreid.report.ranked_queries import choose_queries, unit_distances

_BLOCK = 256  # queries whose distances are held at a time


class CameraMatch(NamedTuple):
    """An image of another camera: its row, its Euclidean distance, and whether it is in the query's cluster."""

    row: int
    distance: float
    is_alike: bool


class CameraQuery(NamedTuple):
    """A query and what the other cameras have for it.

    Attributes:
        row: of the query.
        kind: "random"; "worst" and "best" by the distance of the first match.
        cluster: of the query, -1 for an outlier, None where there are no labels.
        matches: the nearest, the first of them first.
    """

    row: int
    kind: str
    cluster: int | None
    matches: list[CameraMatch]


class AcrossCameras(NamedTuple):
    """Images (N,), rank lists of some of them, and how many training images there are beside them."""

    images: Sequence[ImageRecord]
    lists: list[CameraQuery]
    more: int


def rank_across_cameras(
    features: np.ndarray,
    camids: np.ndarray,
    labels: np.ndarray | None,
    *,
    per_kind: int,
    rng: np.random.Generator,
    top_k: int = 10,
) -> list[CameraQuery]:
    """For some images the nearest ones of all other cameras.

    Args:
        features: (N, D) unit rows.
        camids: (N,) cameras; images of an unknown one, -1, are neither queries nor found.
        labels: (N,) clusters, -1 for outliers; None where there are none.
        per_kind: queries of each kind.
        rng: for the random ones.
        top_k: length of a list.

    Returns:
        Random queries, those whose first match is farthest, and those where it is nearest; none with fewer than two
        known cameras.
    """
    nearest = np.full(len(features), np.nan)
    for rows, distances in _to_other_cameras(features, camids, np.flatnonzero(camids >= 0)):
        first = distances.min(axis=1)
        nearest[rows] = np.where(np.isfinite(first), first, np.nan)
    chosen = choose_queries(-nearest, per_kind=per_kind, rng=rng)
    kinds, lists = dict(chosen), []
    for rows, block in _to_other_cameras(features, camids, np.array(list(kinds), dtype=np.int64)):
        for row, distances in zip(rows.tolist(), block, strict=True):
            order = np.argsort(distances, kind="stable")[:top_k]
            own = None if labels is None else int(labels[row])
            alike = np.zeros(len(features), bool) if own in (None, -1) or labels is None else labels == own
            found = [CameraMatch(int(i), float(distances[i]), bool(alike[i])) for i in order if distances[i] < np.inf]
            lists.append(CameraQuery(row, kinds[row], own, found))
    return lists


def _to_other_cameras(
    features: np.ndarray, camids: np.ndarray, queries: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of queries and their distances (n, N), infinite to images of the same camera or an unknown one."""
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        distances = unit_distances(features[rows], features)
        distances[(camids < 0) | (camids == camids[rows][:, None])] = np.inf
        yield rows, distances
