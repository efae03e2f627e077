"""What the threshold of pairs that one camera took does between cameras, where labels say who is who."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ppreid.evaluation.track_pairs import direction
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
