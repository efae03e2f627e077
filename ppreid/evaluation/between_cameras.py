"""What the threshold of pairs that one camera took does between cameras, where labels or a common clock tell."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ppreid.evaluation.track_pairs import direction, track_pairs
from ppreid.evaluation.without_labels import area

IMAGES = 1000  # of a camera; of more, as many are drawn


class CameraPair(NamedTuple):
    """Two cameras.

    Attributes:
        cameras: both, the smaller first.
        pairs: of one person, an image of each camera.
        auc: probability that such a pair is more similar than one of two people.
        false_matches: share of the pairs of two people that are at least as similar as the threshold.
        missed: share of the pairs of one person that are less similar.
        tracks: of people whom both cameras saw, that were looked for in the other camera.
        found: share of them to which a track of the same person was the most similar; nan without any.
    """

    cameras: tuple[int, int]
    pairs: int
    auc: float
    false_matches: float
    missed: float
    tracks: int
    found: float


class CamerasAtOnce(NamedTuple):
    """Two cameras that see no place in common, and whom they saw at the same time.

    Attributes:
        cameras: both, the smaller first.
        pairs: of two people, an image of each camera.
        false_matches: share of them that are at least as similar as the threshold.
    """

    cameras: tuple[int, int]
    pairs: int
    false_matches: float


def at_once_between_cameras(
    features: np.ndarray,
    tracks: np.ndarray,
    times: np.ndarray,
    camids: np.ndarray,
    *,
    apart: np.ndarray,
    threshold: float,
) -> tuple[CamerasAtOnce, ...]:
    """False matches between cameras, without a label: nobody is in front of two of them at once.

    Args:
        features: (N, D) unit rows.
        tracks: (N,) track of every image, each of one camera; -1 unknown.
        times: (N,) in seconds, -1 unknown.
        camids: (N,) cameras, -1 unknown.
        apart: (P, 2) tracks that were seen at once, see `seen_at_once` with `shared_clock`; those of one camera do not
            count.
        threshold: cosine from which on two images count as one person.

    Returns:
        For each pair of cameras with such tracks, in ascending order.
    """
    names, first = np.unique(tracks, return_index=True)
    cameras = camids[first][np.searchsorted(names, apart)]  # (P, 2)
    apart = apart[cameras[:, 0] != cameras[:, 1]]
    pairs = track_pairs(features, tracks, times, camids, apart=apart)
    both = np.sort(camids[first][np.searchsorted(names, pairs.tracks[~pairs.same])], axis=1)  # (M, 2)
    matches = pairs.similarity[~pairs.same] >= threshold
    return tuple(
        CamerasAtOnce(tuple(found.tolist()), len(own := matches[(both == found).all(axis=1)]), float(own.mean()))
        for found in np.unique(both, axis=0)
    )


def between_cameras(
    features: np.ndarray,
    tracks: np.ndarray,
    camids: np.ndarray,
    pids: np.ndarray,
    *,
    threshold: float,
    max_images: int = IMAGES,
    seed: int = 0,
) -> tuple[CameraPair, ...]:
    """Error rates of a threshold, and how often tracks are found again, for each pair of cameras with people in common.

    Args:
        features: (N, D) unit rows.
        tracks: (N,) track of every image, -1 unknown.
        camids: (N,) cameras, -1 unknown.
        pids: (N,) identities; those of 0 and less are unknown, and such images are left out.
        threshold: cosine from which on two images count as one person.
        max_images: of a camera; of more, as many are drawn.
        seed: of the draw.

    Returns:
        In ascending order of cameras; empty where nobody is known whom two cameras saw.
    """
    rng, known = np.random.default_rng(seed), (pids > 0) & (camids >= 0)
    rows = {camid: np.flatnonzero(known & (camids == camid)) for camid in np.unique(camids[known]).tolist()}
    drawn = {
        camid: own if len(own) <= max_images else rng.choice(own, max_images, replace=False)
        for camid, own in rows.items()
    }
    found = []
    for one, other in combinations(rows, 2):
        similarity = features[drawn[one]].astype(np.float64) @ features[drawn[other]].T.astype(np.float64)
        is_same = pids[drawn[one]][:, None] == pids[drawn[other]]
        if not is_same.any() or is_same.all():
            continue
        same, others = similarity[is_same], similarity[~is_same]
        passages = [_passages(features, tracks, pids, rows[camid]) for camid in (one, other)]
        hits = [*_hits(*passages), *_hits(*passages[::-1])]
        rates = area(same, others), float(np.mean(others >= threshold)), float(np.mean(same < threshold))
        again = len(hits), float(np.mean(hits)) if hits else float("nan")
        found.append(CameraPair((one, other), len(same), *rates, *again))
    return tuple(found)


def _passages(
    features: np.ndarray, tracks: np.ndarray, pids: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit mean (T, D) of every track among the rows, and its person (T,)."""
    numbers = np.unique(tracks[rows][tracks[rows] >= 0]).tolist()
    members = [rows[tracks[rows] == number] for number in numbers]
    means = np.array([direction(features[own]) for own in members]).reshape(-1, features.shape[1])
    return means, np.array([pids[own[0]] for own in members], np.int64)


def _hits(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> Iterator[bool]:
    """Whether each track of one camera whose person the other saw is most similar to a track of that person there."""
    for mean, pid in zip(*one, strict=True):
        if pid in other[1]:
            yield bool(other[1][(other[0] @ mean).argmax()] == pid)
