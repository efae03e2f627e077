"""Rank lists to look at, and the distances of right and wrong pairs."""

from typing import NamedTuple

import numpy as np

from ppreid.evaluation.inputs import Identities
from ppreid.evaluation.scores import find_hits, hits_and_junk

RIGHT, WRONG = "right", "wrong"
RANDOM, WORST, BEST = "random", "worst", "best"
_BINS = 60
_BLOCK = 64  # queries whose distances are held at a time


class Match(NamedTuple):
    """A gallery image in the rank list of a query.

    Attributes:
        row: of the gallery.
        rank: 1-based, junk left out.
        distance: Euclidean, of unit features within [0, 2].
        verdict: "right" or "wrong".
    """

    row: int
    rank: int
    distance: float
    verdict: str


class RankedQuery(NamedTuple):
    """A query and what was found for it.

    Attributes:
        row: of the queries.
        kind: "random", "worst" or "best".
        average_precision: by the protocol of the run.
        matches: the first of the rank list.
        missed: the first right match, where it comes later; None where it is among `matches`.
        hits: right images in the gallery.
    """

    row: int
    kind: str
    average_precision: float
    matches: list[Match]
    missed: Match | None
    hits: int


def choose_queries(average_precision: np.ndarray, *, per_kind: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Pick random queries, and the worst and best of the others.

    Args:
        average_precision: (Q,), NaN for queries without a valid match, which are never picked.
        per_kind: queries of each kind at most; with few queries there are fewer.
        rng: for the random ones.

    Returns:
        (row, kind), the random ones first, no row twice.
    """
    valid = np.flatnonzero(~np.isnan(average_precision))
    per_kind = min(per_kind, -(-len(valid) // 3))
    chosen = np.sort(rng.permutation(valid)[:per_kind])
    others = np.setdiff1d(valid, chosen)
    ordered = others[np.argsort(average_precision[others], kind="stable")]
    worst = ordered[:per_kind]
    best = ordered[len(worst) :][::-1][:per_kind]
    return [(int(row), kind) for kind, rows in ((RANDOM, chosen), (WORST, worst), (BEST, best)) for row in rows]


def rank_queries(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    ids: Identities,
    chosen: list[tuple[int, str]],
    average_precision: np.ndarray,
    *,
    ignore_camera: bool,
    top_k: int = 10,
) -> list[RankedQuery]:
    """The rank lists of some queries.

    Args:
        query_features: (Q, D) unit rows.
        gallery_features: (G, D) unit rows.
        ids: identities and cameras of both.
        chosen: rows of queries with a valid match, and their kind.
        average_precision: (Q,) of all queries.
        ignore_camera: keep images of the query's own camera, as in the evaluation.
        top_k: length of a list.
    """
    lists = []
    for row, kind in chosen:
        one = Identities(ids.query_pids[[row]], ids.gallery_pids, ids.query_camids[[row]], ids.gallery_camids)
        hits, junk = next(hits_and_junk(one, ignore_camera=ignore_camera))
        distances = unit_distances(query_features[[row]], gallery_features)[0]  # (G,)
        kept = np.setdiff1d(np.arange(len(distances)), junk)
        order = kept[np.argsort(distances[kept], kind="stable")]
        is_hit = np.isin(order, hits)
        matches = [
            Match(int(item), rank, float(distances[item]), RIGHT if right else WRONG)
            for rank, (item, right) in enumerate(zip(order[:top_k], is_hit, strict=False), start=1)
        ]
        first = int(find_hits(distances, hits, junk).ranks[0])
        missed = None if first < top_k else Match(int(order[first]), first + 1, float(distances[order[first]]), RIGHT)
        lists.append(RankedQuery(row, kind, float(average_precision[row]), matches, missed, len(hits)))
    return lists


class DistanceHistogram(NamedTuple):
    """Distances of pairs of a query and a gallery image.

    Attributes:
        edges: (bins + 1,) Euclidean distances.
        positives: (bins,) share of the pairs of the same identity, percent.
        negatives: (bins,) share of the other pairs, percent.
    """

    edges: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def distance_histogram(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    ids: Identities,
    *,
    ignore_camera: bool,
    max_queries: int = 1000,
    rng: np.random.Generator,
) -> DistanceHistogram:
    """Distances of positive and negative pairs as an evaluation sees them, same-camera pairs left out.

    Args:
        query_features: (Q, D) unit rows.
        gallery_features: (G, D) unit rows.
        ids: identities and cameras of both.
        ignore_camera: keep pairs of the same camera.
        max_queries: random queries that are looked at, at most.
        rng: for these.
    """
    rows = np.sort(rng.permutation(len(query_features))[:max_queries])
    some = Identities(ids.query_pids[rows], ids.gallery_pids, ids.query_camids[rows], ids.gallery_camids)
    edges = np.linspace(0.0, 2.0, _BINS + 1)
    counts = np.zeros((2, _BINS))
    blocks = (query_features[rows[start : start + _BLOCK]] for start in range(0, len(rows), _BLOCK))
    lines = (line for block in blocks for line in unit_distances(block, gallery_features))  # (G,) each
    for distances, (hits, junk) in zip(lines, hits_and_junk(some, ignore_camera=ignore_camera), strict=True):
        bins = np.minimum((distances * (_BINS / 2)).astype(int), _BINS - 1)
        positives = np.bincount(bins[hits], minlength=_BINS)
        counts[0] += positives
        counts[1] += np.bincount(bins, minlength=_BINS) - positives - np.bincount(bins[junk], minlength=_BINS)
    used = np.flatnonzero(counts.any(axis=0))
    first, last = (used[0], used[-1] + 1) if len(used) else (0, _BINS)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return DistanceHistogram(edges[first : last + 1], shares[0, first:last], shares[1, first:last])


def unit_distances(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Euclidean distances (Q, G) of unit rows (Q, D) to unit rows (G, D), within [0, 2]."""
    return np.sqrt(np.maximum(2.0 - 2.0 * (queries @ gallery.T), 0.0))
