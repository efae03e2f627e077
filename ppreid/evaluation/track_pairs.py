"""Pairs of images that tracks tell the truth about, without any label."""

from typing import NamedTuple

import numpy as np

from ppreid.datasets.track_times import seen_at_once
from ppreid.neighbours.checks import check_features

PAIRS = 50  # of a track, or of two tracks, at most: a long track says little more than a short one


class TrackPairs(NamedTuple):
    """Pairs of images, and how similar they are.

    Attributes:
        similarity: (M,) float64 cosines.
        tracks: (M, 2) the tracks of both images; equal for pairs of one track.
        camids: (M,) the camera that took both.
    """

    similarity: np.ndarray
    tracks: np.ndarray
    camids: np.ndarray

    @property
    def same(self) -> np.ndarray:
        """Whether a pair (M,) is one person; otherwise it is two."""
        return self.tracks[:, 0] == self.tracks[:, 1]


def track_pairs(
    features: np.ndarray,
    tracks: np.ndarray,
    times: np.ndarray,
    camids: np.ndarray,
    *,
    apart: np.ndarray | None = None,
    max_pairs: int = PAIRS,
    seed: int = 0,
) -> TrackPairs:
    """Pairs of one person, from far apart in a track, and of two people, from tracks that were seen at once.

    Neighbouring frames of a track are nearly equal and would flatter every network. So a pair of one person is at least
    half of the time apart that its track lasts.

    Args:
        features: (N, D) unit rows.
        tracks: (N,) track of every image, -1 unknown.
        times: (N,) in seconds, -1 unknown.
        camids: (N,) cameras, -1 unknown.
        apart: (P, 2) tracks that are two people; None: those that `seen_at_once` finds.
        max_pairs: of a track, or of two tracks; of more, as many are drawn.
        seed: of the draw.

    Returns:
        Those of one person first; either kind may be missing.
    """
    features = check_features(features)
    usable = np.flatnonzero((tracks >= 0) & (times >= 0))
    order = usable[np.lexsort((times[usable], tracks[usable]))]
    names, starts = np.unique(tracks[order], return_index=True)
    members = dict(zip(names.tolist(), np.split(order, starts[1:]) if len(order) else [], strict=True))
    apart = seen_at_once(tracks, times, camids) if apart is None else apart
    rng = np.random.default_rng(seed)
    rows = [_far_apart(own, times) for own in members.values()]
    rows += [_all_pairs(members[a], members[b]) for a, b in apart.tolist() if a in members and b in members]
    drawn = [pairs if len(pairs) <= max_pairs else rng.choice(pairs, max_pairs, replace=False) for pairs in rows]
    both = np.concatenate([np.empty((0, 2), np.int64), *drawn])  # (M, 2) rows
    similarity = np.einsum("md,md->m", features[both[:, 0]], features[both[:, 1]], dtype=np.float64)
    return TrackPairs(similarity, tracks[both], camids[both[:, 0]])


class Reassociation(NamedTuple):
    """How often a track is found again among those that were seen with it.

    Attributes:
        tracks: that were looked for.
        found: share of them whose end was more similar to their beginning than the end of any other; nan without any.
        gap: median seconds between beginning and end.
    """

    tracks: int
    found: float
    gap: float


def reassociation(
    features: np.ndarray, tracks: np.ndarray, times: np.ndarray, camids: np.ndarray, *, apart: np.ndarray | None = None
) -> Reassociation:
    """Lose every track in the middle, and look for its end among the ends of the tracks that were seen with it.

    The beginning of a track is the first third of its time, its end is the last third, both as mean features; nothing
    in between is looked at. A track of a single time, or with which no other was seen, is left out. The arguments are
    those of `track_pairs`.
    """
    apart = seen_at_once(tracks, times, camids) if apart is None else apart
    first, last, gaps = {}, {}, {}
    for track in np.unique(apart).tolist():
        rows = np.flatnonzero((tracks == track) & (times >= 0))
        begin, end = times[rows].min(), times[rows].max()
        if begin < end:
            is_first, is_last = times[rows] <= begin + (end - begin) / 3, times[rows] >= end - (end - begin) / 3
            first[track], last[track] = (direction(features[rows[part]]) for part in (is_first, is_last))
            gaps[track] = times[rows[is_last]].min() - times[rows[is_first]].max()
    hits = []
    for track in first:
        others = apart[(apart == track).any(axis=1)].ravel()
        rivals = [last[other] @ first[track] for other in others.tolist() if other != track and other in last]
        if rivals:
            hits.append((last[track] @ first[track] > max(rivals), gaps[track]))
    if not hits:
        return Reassociation(0, float("nan"), float("nan"))
    found, seconds = zip(*hits, strict=True)
    return Reassociation(len(hits), float(np.mean(found)), float(np.median(seconds)))


def _far_apart(rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Pairs (M, 2) of the rows of one track, which are in order of time, at least half of its time apart."""
    gaps = times[rows][None] - times[rows][:, None]
    i, j = np.nonzero((gaps >= gaps.max() / 2) & (gaps > 0))
    return np.stack([rows[i], rows[j]], axis=1)


def _all_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.stack([np.repeat(one, len(other)), np.tile(other, len(one))], axis=1)


def direction(features: np.ndarray) -> np.ndarray:
    """Unit mean (D,) of features (M, D)."""
    mean = features.mean(axis=0, dtype=np.float64)
    return mean / max(np.linalg.norm(mean), np.finfo(np.float64).tiny)
