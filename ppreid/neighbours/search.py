"""The most similar images of every image: exact or approximate, in bounded memory."""

import logging
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from ppreid.base.errors import DataError, PpreidWarning, unknown_choice
from ppreid.base.progress import progress
from ppreid.base.table_rows import Neighbours
from ppreid.neighbours import tiles
from ppreid.neighbours.checks import at_most_all, check_features, check_row_ids
from ppreid.neighbours.ranking import Ranking, Tile, rank_on_device
from ppreid.tables import NEIGHBOURS

# Below this share of true neighbours found "auto" warns. At 0.9 the labels differ little from those of exact search
# (adjusted Rand index 0.99 in benchmarks/pseudo_labels.py): what is missing are mostly the last, unrelated neighbours.
LOW_RECALL = 0.8

logger = logging.getLogger(__name__)


def nearest_neighbours(
    features: np.ndarray,
    k: int,
    *,
    method: str = "exact",
    backend: str = "auto",
    num_lists: int | None = None,
    num_probes: int | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k most similar images of every image by cosine similarity.

    Column 0 is always the image itself, also where other images have the very same features; the other columns are by
    descending similarity, equal ones by image number. "exact" may round duplicates apart in the last bit (BLAS).

    Args:
        features: (N, D) rows of unit L2 norm, float32 or float16, in memory or an np.memmap.
        k: number of columns, the image itself included; clamped to N with a warning.
        method: "exact"; "certified", exact as well, but for the order of similarities that are equal to rounding, and
            faster for many images (see `rank_certified`); "ivf" and "nn_descent", approximate (see `rank_by_lists`
            and `rank_by_descent`); or "auto": "certified" up to the number of images in `tables.NEIGHBOURS`, above it
            "nn_descent", or "ivf" where num_lists or num_probes is given; then the recall on a sample of images goes
            to the log, with a warning when it is low. "nn_descent" is "certified" for few images.
        backend: "cpu", "paddle", or "auto" (Paddle if the program has selected a GPU in it, otherwise the CPU).
        num_lists: "ivf" only: number of inverted lists; None is as many as `rank_by_lists` takes.
        num_probes: "ivf" only: lists that are searched per image; more find more true neighbours and cost more time;
            None is as many as find the neighbours of a sample.
        rng: approximate searches only: draws what they learn from, and samples; None is `default_rng(0)`.

    Returns:
        similarities (N, k) float32 and indices (N, k) int32. Where "ivf" meets fewer than k candidates, the last
        columns are -inf and -1.

    Raises:
        DataError: the features are not usable (see `check_features`), or an argument is not valid.

    Example:
        >>> radians = np.deg2rad([0, 10, 25, 90])
        >>> features = np.stack([np.cos(radians), np.sin(radians)], axis=1)
        >>> nearest_neighbours(features, 3, backend="cpu")[1].tolist()
        [[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 2, 1]]

    Note:
        Memory beyond the features: 8 * N * k bytes for the result, as much again while it is copied, up to three tiles
        of 64 MB, and the blocks of features that are multiplied. A GPU multiplies in float32 too, see
        `float32_products`; its sums have another order, so neighbours of almost equal similarity may change places.
    """
    features = check_features(features)
    k = at_most_all("k", k, len(features))
    rng = np.random.default_rng(0) if rng is None else rng  # not entropy: equal features give equal labels
    ranking = Ranking(np.zeros(len(features), np.int64), k - 1, same_group=True)
    exact = _search(features, [ranking], method, backend, num_lists, num_probes, rng)
    similarities, indices = ranking.with_self_first()
    if not exact and NEIGHBOURS[method].shows_recall:
        _report_recall(estimate_recall(features, indices, rng=rng, backend=backend))
    return similarities, indices


def camera_neighbours(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    k_intra: int,
    k_inter: int,
    method: str = "exact",
    backend: str = "auto",
    num_lists: int | None = None,
    num_probes: int | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar images of every image within its camera and among the other cameras, in one pass.

    Args:
        features: (N, D) rows of unit L2 norm, as for `nearest_neighbours`.
        camids: (N,) integer camera of every image.
        k_intra: columns of the ranking within the camera, the image itself in column 0 included.
        k_inter: columns of the ranking among the images of all other cameras.
        method: as for `nearest_neighbours`, but for "nn_descent", which does not lead from camera to camera; "auto" is
            "ivf" for many images, and does not report recall here.
        backend: as for `nearest_neighbours`.
        num_lists: as for `nearest_neighbours`.
        num_probes: as for `nearest_neighbours`.
        rng: as for `nearest_neighbours`.

    Returns:
        intra (N, k_intra) and inter (N, k_inter) int32 image numbers; -1 where there are not so many such images.

    Raises:
        DataError: the features are not usable, a camera is unknown (-1), or an argument is not valid.
    """
    features = check_features(features)
    camids = check_row_ids(camids, len(features), "camids")
    if camids.min() < 0:
        raise DataError(
            f"{np.sum(camids < 0)} of {len(camids)} images have no camera id (-1), the first is row {camids.argmin()}; "
            "camera-aware distances need the camera of every image"
        )
    if _row_of(method).above == ("descent",):
        raise DataError(f"method {method!r} does not tell cameras apart; use 'ivf', 'certified' or 'auto'")
    rng = np.random.default_rng(0) if rng is None else rng
    intra = Ranking(camids, k_intra - 1, same_group=True)
    inter = Ranking(camids, k_inter, same_group=False)
    _search(features, [intra, inter], method, backend, num_lists, num_probes, rng)
    return intra.with_self_first()[1], inter.indices


def estimate_recall(
    features: np.ndarray,
    indices: np.ndarray,
    *,
    rng: np.random.Generator,
    num_images: int = 256,
    backend: str = "auto",
) -> float:
    """Estimate which share of the true nearest neighbours a search has found.

    Args:
        features: (N, D) rows of unit L2 norm.
        indices: (N, k) result of a search, the image itself in column 0.
        rng: draws the images that are searched for exactly.
        num_images: size of that sample; all images if there are fewer.
        backend: as for `nearest_neighbours`.

    Returns:
        Recall in [0, 1] over columns 1 to k - 1; 1 when there are none.
    """
    features = check_features(features)
    n, k = indices.shape
    if k == 1:
        return 1.0
    sample = np.sort(rng.choice(n, min(num_images, n), replace=False))
    wanted = Ranking(np.zeros(n, np.int64), k - 1, same_group=True, rows=range(0))
    (exact,) = tiles.nearest_of_sample(features, sample, [wanted], matmul=tiles.choose_matmul(backend))
    # without column 0, which is right in any search
    found = [np.isin(true, indices[row, 1:]).mean() for true, row in zip(exact, sample, strict=True)]
    return float(np.mean(found))


def _row_of(method: str) -> Neighbours:
    if method not in NEIGHBOURS:
        raise DataError(unknown_choice("method", method, NEIGHBOURS))
    return NEIGHBOURS[method]


def _search(
    features: np.ndarray,
    rankings: Sequence[Ranking],
    method: str,
    backend: str,
    num_lists: int | None,
    num_probes: int | None,
    rng: np.random.Generator,
) -> bool:
    """Fill rankings; whether they are exact."""
    matmul = tiles.choose_matmul(backend)
    found: Iterator[Tile] = iter(())
    row = _row_of(method)
    if len(features) > row.exact_up_to:
        lists_wanted = len(rankings) > 1 or num_lists or num_probes
        if "descent" in row.above and not (lists_wanted and "lists" in row.above):
            from ppreid.neighbours.descent import rank_by_descent  # only for those who ask for it

            rank_by_descent(features, *rankings, rng=rng, matmul=matmul)
        else:
            from ppreid.neighbours.list_search import rank_by_lists  # likewise

            lists = {"num_lists": num_lists, "num_probes": num_probes}
            rank_by_lists(features, rankings, **lists, rng=rng, matmul=matmul)
        return False
    if tiles.choose_backend(backend) == "paddle":
        # Tiles would travel from the device to be ranked here, 64 MB each; the k best of a row are all that is wanted.
        rank_on_device(features, rankings)
    elif not (row.certified and _is_certified(features, rankings, matmul)):
        count = tiles.num_tiles(len(features))
        found = progress(tiles.exact_tiles(features, matmul=matmul), total=count, description="neighbours", unit="tile")
    for tile in found:
        for ranking in rankings:
            ranking.merge(tile)
    return True


def _is_certified(features: np.ndarray, rankings: Sequence[Ranking], matmul: tiles.Matmul) -> bool:
    from ppreid.neighbours.certified import rank_certified  # only for those who ask for it

    return rank_certified(features, rankings, matmul=matmul)


def _report_recall(recall: float) -> None:
    logger.info("approximate neighbour search: recall %.3f on a sample", recall)
    if recall < LOW_RECALL:
        warnings.warn(
            f"the approximate search found only {recall:.1%} of the true neighbours of a sample of images; use "
            "method='exact', or 'ivf' with a higher num_probes",
            PpreidWarning,
            stacklevel=3,
        )
