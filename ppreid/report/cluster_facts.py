"""Clusters in numbers: size, cameras and, where the truth is known, purity."""

from typing import NamedTuple

import numpy as np


class ClusterFacts(NamedTuple):
    """One cluster.

    Attributes:
        cluster: its label.
        images: in it.
        cameras: among them; 0 where none is known.
        camera_mixing: entropy of the cameras over the largest possible one, within [0, 1]; None where the data set has
            fewer than two cameras.
        identities: among them; None where not all identities of the data set are known.
        purity: share of the most frequent identity; None likewise.
    """

    cluster: int
    images: int
    cameras: int
    camera_mixing: float | None
    identities: int | None
    purity: float | None


class CameraFacts(NamedTuple):
    """One camera: its 0-based number (-1 unknown), its images, and how many of them are outliers."""

    camera: int
    images: int
    outliers: int


def all_known(ids: np.ndarray) -> bool:
    """Whether there are identities and none is -1."""
    return bool(len(ids) and (ids >= 0).all())


def cluster_facts(labels: np.ndarray, pids: np.ndarray, camids: np.ndarray) -> list[ClusterFacts]:
    """All clusters, the largest first.

    Args:
        labels: (N,) cluster of every image, -1 for outliers.
        pids: (N,) identities, -1 unknown.
        camids: (N,) cameras, -1 unknown.
    """
    inside = labels >= 0
    clusters, rows = np.unique(labels[inside], return_inverse=True)
    sizes = np.bincount(rows, minlength=len(clusters))
    cameras = _counts(rows, camids[inside], len(clusters))
    identities = _counts(rows, pids[inside], len(clusters)) if all_known(pids) else None
    num_cameras = len(np.unique(camids[camids >= 0]))
    facts = []
    for row in np.argsort(-sizes, kind="stable"):
        people = None if identities is None else identities[row]
        facts.append(
            ClusterFacts(
                int(clusters[row]),
                int(sizes[row]),
                len(cameras[row]),
                _normalised_entropy(cameras[row], num_cameras),
                None if people is None else len(people),
                None if people is None else float(people.max() / people.sum()),
            )
        )
    return facts


def camera_facts(labels: np.ndarray, camids: np.ndarray) -> list[CameraFacts]:
    """Images and outliers of every camera, in the order of the cameras.

    Args:
        labels: (N,) cluster of every image, -1 for outliers.
        camids: (N,) cameras, -1 unknown.
    """
    return [
        CameraFacts(int(camera), int((camids == camera).sum()), int(((camids == camera) & (labels < 0)).sum()))
        for camera in np.unique(camids)
    ]


def _counts(rows: np.ndarray, values: np.ndarray, num_rows: int) -> list[np.ndarray]:
    """How often each value occurs in each row; unknown ones (-1) are left out."""
    pairs, counts = np.unique(np.stack([rows, values])[:, values >= 0], axis=1, return_counts=True)
    return np.split(counts, np.searchsorted(pairs[0], np.arange(1, num_rows)))


def _normalised_entropy(counts: np.ndarray, num_values: int) -> float | None:
    if num_values < 2:
        return None
    shares = counts / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum() / np.log(num_values))
