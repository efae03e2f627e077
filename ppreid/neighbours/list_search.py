"""Approximate neighbours in a million images: short vectors, k-means lists, neighbours of neighbours, full scores.

    features (N, D) -> short vectors (N, 129) -> lists -> candidates (N, k + SPARE) -> refined -> rankings (N, k)

Two images are compared when one of them looks into the list of the other. How many lists an image must look into
depends on the features, so it is found out on a sample of images whose true neighbours are known.
"""

import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ppreid.base.progress import progress
from ppreid.neighbours import approximate
from ppreid.neighbours.inverted_lists import EVERY_EPOCH, default_num_lists, learn_centres, usable_lists
from ppreid.neighbours.ranking import Ranking, Tile
from ppreid.neighbours.tiles import Matmul, chunks, nearest_of_sample

# Share of the sample's neighbours that lists must find. Following neighbours finds a third to a half of the others.
FOUND_BY_LISTS = 0.94
# Lists are finer than those of an index: of 100,000 images 1,265 lists find 0.91 of the neighbours in a twentieth of
# the pairs, and 316 lists 0.86 in a tenth (docs/scaling.md).
LISTS = 2
# Probes that are held and sorted at once, 16 bytes each.
MOST_PROBES = 2**24

logger = logging.getLogger(__name__)


def rank_by_lists(
    features: np.ndarray,
    rankings: Sequence[Ranking],
    *,
    num_lists: int | None,
    num_probes: int | None,
    rng: np.random.Generator,
    matmul: Matmul,
) -> int:
    """Fill rankings with the most similar images, as far as lists lead to them.

    Args:
        features: (N, D) unit rows, float32 or float16, C-contiguous, possibly memory-mapped.
        rankings: empty rankings over all N images; filled in place.
        num_lists: k-means centres; None is `LISTS` times `default_num_lists`.
        num_probes: lists an image is compared with, its own among them; None is as many as a sample needs.
        rng: draws the sample, what is learnt from, and the start of k-means.
        matmul: as in `exact_tiles`.

    Returns:
        Lists that every image was compared with.

    Raises:
        DataError: there are to be fewer than one list or probe, or more lists than images.

    Note:
        Memory: 4 * N * (directions + 1) bytes for the short vectors, 12 * N * (k + SPARE) for candidates, and some 400
        MB for the probes of a part of the images. Time grows with N * (lists + probes * N / lists).
    """
    n = len(features)
    num_lists = num_lists or min(n, LISTS * default_num_lists(n))
    num_lists, most_probes = usable_lists(num_lists, num_lists if num_probes is None else num_probes, num_images=n)
    wanted = [ranking for ranking in rankings if ranking.indices.shape[1]]
    if not wanted:
        return most_probes
    sample = np.sort(rng.choice(n, min(approximate.SAMPLE, n), replace=False))
    truth = nearest_of_sample(features, sample, wanted, matmul=matmul)
    vectors = approximate.short_vectors(features, sample, truth, wanted, rng=rng, matmul=matmul)
    centres = learn_centres(vectors, num_lists, learning=EVERY_EPOCH, rng=rng)  # (L, d)
    own = nearest_lists(vectors, centres, matmul)
    num_probes = most_probes if num_probes else _needed_probes(vectors, sample, truth, centres, own, matmul)
    logger.info(
        "%d numbers of %d for each image, %d of %d lists", vectors.shape[1], features.shape[1], num_probes, num_lists
    )
    found = approximate.candidates_for(wanted, shortened=vectors is not features)
    for tile in _list_tiles(vectors, centres, own, num_probes, matmul):
        for ranking in found:
            ranking.merge(tile)
    approximate.finish(features, vectors, wanted, found, own_list=own)
    return num_probes


def nearest_lists(vectors: np.ndarray, centres: np.ndarray, matmul: Matmul) -> np.ndarray:
    """The list (N,) of every image: the centre, of (L, d), that is most similar to its vector (d,)."""
    parts = _parts(len(vectors), len(centres))
    return np.concatenate([_products(vectors, rows, centres, matmul).argmax(axis=1) for rows in parts])


def _needed_probes(
    vectors: np.ndarray,
    sample: np.ndarray,
    truth: list[np.ndarray],
    centres: np.ndarray,
    own: np.ndarray,
    matmul: Matmul,
) -> int:
    """Lists with which `FOUND_BY_LISTS` of the sample's neighbours and it look into the list of one another."""
    pairs = np.concatenate([np.stack([np.repeat(sample, true.shape[1]), true.ravel()], axis=1) for true in truth])
    pairs = pairs[pairs[:, 1] >= 0]  # (pairs, 2)
    if not len(pairs):
        return 1

    def places(images: np.ndarray, others: np.ndarray) -> np.ndarray:
        """How many lists are nearer to an image than that of another."""
        products = _products(vectors, images, centres, matmul)  # (n, L)
        return np.sum(products > products[np.arange(len(images)), own[others], None], axis=1)

    parts = [pairs[part] for part in _parts(len(pairs), len(centres))]
    first = np.concatenate([np.minimum(places(*part.T), places(*part.T[::-1])) for part in parts])
    return int(np.sort(first)[math.ceil(FOUND_BY_LISTS * len(first)) - 1]) + 1


def _list_tiles(
    vectors: np.ndarray, centres: np.ndarray, own: np.ndarray, num_probes: int, matmul: Matmul
) -> Iterator[Tile]:
    """Similarities of every image with the images of the lists that are nearest to it, both ways.

    The lists are visited one after the other: the images that probe a list are compared with all its members in one
    matrix product, which is what makes this several times faster than asking an index image by image.

    Args:
        vectors: (N, d) unit rows.
        centres: (L, d).
        own: (N,) list of every image.
        num_probes: lists that an image is compared with.
        matmul: as in `exact_tiles`.

    Yields:
        Tiles that cover every pair of which one image probes the list of the other, at least once in both orders.
    """
    num_lists = len(centres)
    members = np.argsort(own, kind="stable")  # ascending in each list, so that files are read front to back
    member_bounds = np.searchsorted(own[members], np.arange(num_lists + 1))
    visitors = _split(np.arange(len(vectors)), MOST_PROBES // num_probes)
    visits = ((rows, number) for rows in visitors for number in range(num_lists))
    total = len(visitors) * num_lists
    asked, bounds = np.empty(0, np.int64), np.empty(0, np.int64)
    for rows, number in progress(visits, total=total, description="neighbours", unit="list"):
        if number == 0:
            probes = _nearest_centres(vectors, rows, centres, num_probes, matmul).ravel()  # (R * num_probes,)
            asked = np.argsort(probes, kind="stable")
            bounds = np.concatenate([[0], np.cumsum(np.bincount(probes, minlength=num_lists))])
        rows_of_list = rows[asked[bounds[number] : bounds[number + 1]] // num_probes]  # place to image
        for columns in chunks(members[member_bounds[number] : member_bounds[number + 1]]):
            column_vectors = vectors[columns].astype(np.float32, copy=False)
            for visiting in chunks(rows_of_list):
                scores = matmul(vectors[visiting].astype(np.float32, copy=False), column_vectors)  # (R, C)
                yield Tile(scores, visiting, columns)
                yield Tile(scores.T, columns, visiting)


def _nearest_centres(
    vectors: np.ndarray, rows: np.ndarray, centres: np.ndarray, num_probes: int, matmul: Matmul
) -> np.ndarray:
    """Numbers (R, num_probes) of the lists nearest to some images, in any order."""
    # 16 bits, where they are enough, are sorted several times faster
    dtype = np.min_scalar_type(len(centres))
    nearest = np.empty((len(rows), num_probes), dtype)
    for part in _parts(len(rows), len(centres)):
        products = _products(vectors, rows[part], centres, matmul)
        nearest[part] = np.argpartition(products, -num_probes, axis=1)[:, -num_probes:]
    return nearest


def _products(vectors: np.ndarray, rows: np.ndarray, centres: np.ndarray, matmul: Matmul) -> np.ndarray:
    return matmul(vectors[rows].astype(np.float32, copy=False), centres)  # (R, L)


def _parts(count: int, num_lists: int) -> list[np.ndarray]:
    """The numbers below count, so many at a time that their products with all centres take 64 MB."""
    return _split(np.arange(count), MOST_PROBES // num_lists)


def _split(numbers: np.ndarray, size: int) -> list[np.ndarray]:
    return [numbers[start : start + max(1, size)] for start in range(0, len(numbers), max(1, size))]
