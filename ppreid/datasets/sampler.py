"""Batches of P identities with K images each, drawn from pseudo labels.

Reference:
    Released ISE code, RandomMultipleGallerySampler.

Note:
    The released code emits one index for a cluster of one image, which shifts all following blocks of the pass across
    batch borders. Here such a cluster repeats its image, so that every batch consists of complete blocks.
"""

import itertools
import warnings
from collections.abc import Iterator

import numpy as np

from ppreid.base.errors import ClusteringError, DataError, PpreidWarning


def identity_batches(
    labels: np.ndarray, camids: np.ndarray, *, identities: int, images: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Batches of one pass over all clusters, in random order.

    Each cluster appears at most once in a pass; clusters that do not fill the last batch are left out. Of a cluster
    one image, the anchor, is drawn, and K - 1 from other cameras than the anchor's; when there is no other camera,
    from its other images; when there is no other image, it is repeated. They are drawn without replacement where
    there are at least K candidates.

    Args:
        labels: pseudo label of each image, (N,); images with -1 are never drawn.
        camids: camera of each image, (N,); all -1 when cameras are unknown.
        identities: clusters per batch, P.
        images: images per cluster, K.
        rng: source of randomness.

    Returns:
        Batches of P * K indices: P blocks of K images of one cluster. With fewer than P clusters a batch holds them
        all, and a warning says so.

    Raises:
        ClusteringError: there is no cluster.
        DataError: arguments do not fit together.
    """
    groups, per_batch = _group_by_label(labels, camids, identities, images)
    return _one_pass(groups, np.asarray(camids), per_batch, images, rng)


def epoch_batches(
    labels: np.ndarray, camids: np.ndarray, *, identities: int, images: int, num_batches: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Batches of one epoch: passes over all clusters, one after another, cut at `num_batches`.

    Args:
        labels: as for `identity_batches`.
        camids: as for `identity_batches`.
        identities: as for `identity_batches`.
        images: as for `identity_batches`.
        num_batches: batches of the epoch.
        rng: source of randomness.

    Returns:
        Exactly `num_batches` batches.

    Raises:
        ClusteringError: there is no cluster.
        DataError: arguments do not fit together.
    """
    groups, per_batch = _group_by_label(labels, camids, identities, images)
    passes = (_one_pass(groups, np.asarray(camids), per_batch, images, rng) for _ in itertools.count())
    return itertools.islice(itertools.chain.from_iterable(passes), num_batches)


def _group_by_label(
    labels: np.ndarray, camids: np.ndarray, identities: int, images: int
) -> tuple[list[np.ndarray], int]:
    labels = np.asarray(labels)
    if labels.shape != np.shape(camids):
        raise DataError(f"labels have shape {labels.shape} but camids {np.shape(camids)}; give one of each per image")
    if identities < 1 or images < 1:
        raise DataError(f"a batch of {identities} identities x {images} images is empty; both must be at least 1")
    members = np.flatnonzero(labels >= 0)
    members = members[np.argsort(labels[members], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[members])) + 1
    groups = np.split(members, starts) if members.size else []
    if not groups:
        raise ClusteringError(
            f"no cluster to draw from: all {labels.size:,} images are outliers; raise labels.eps or lower "
            "labels.min_samples"
        )
    if len(groups) < identities:
        warnings.warn(
            f"{len(groups)} clusters are fewer than the {identities} identities of a batch; batches of this epoch "
            f"have {len(groups)} x {images} images",
            PpreidWarning,
            stacklevel=3,
        )
    return groups, min(identities, len(groups))


def _one_pass(
    groups: list[np.ndarray], camids: np.ndarray, identities: int, images: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    order = rng.permutation(len(groups))
    for start in range(0, len(order) - identities + 1, identities):
        chosen = order[start : start + identities]
        yield [index for group in chosen for index in _draw_block(groups[group], camids, images, rng)]


def _draw_block(members: np.ndarray, camids: np.ndarray, images: int, rng: np.random.Generator) -> list[int]:
    anchor = rng.choice(members)
    candidates = members[camids[members] != camids[anchor]]
    if candidates.size == 0:
        candidates = members[members != anchor]
    if candidates.size == 0:
        return [int(anchor)] * images
    # K - 1 of them are needed, yet the released code asks for K before it draws without replacement
    partners = rng.choice(candidates, images - 1, replace=candidates.size < images)
    return [int(anchor), *partners.tolist()]
