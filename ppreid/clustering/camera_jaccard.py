"""Camera-aware Jaccard distance: reciprocal neighbours are looked for within a camera and between cameras separately.

Images of one camera resemble each other because of its light and background, so that in an ordinary ranking they crowd
out the same person in other cameras.
"""

import warnings
from typing import Any

import numpy as np
from scipy import sparse

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.base.progress import Stopwatch
from ppreid.clustering.jaccard import jaccard_rows
from ppreid.neighbours.checks import at_most_all, check_features, check_ranking
from ppreid.neighbours.reciprocal import average_rows, neighbour_weights, reciprocal_neighbours
from ppreid.neighbours.search import camera_neighbours


def camera_jaccard_distance(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    k1_intra: int = 5,
    k1_inter: int = 20,
    k2_intra: int = 2,
    k2_inter: int = 4,
    max_share: float = 1.0,
    max_distance: float = 1.0,
    method: str = "exact",
    backend: str = "auto",
    num_lists: int | None = None,
    num_probes: int | None = None,
    rng: np.random.Generator | None = None,
    stopwatch: Stopwatch | None = None,
) -> sparse.csr_matrix:
    """Camera-aware k-reciprocal Jaccard distance between all images that are closer than a limit.

    Args:
        features: (N, D) rows of unit L2 norm, as for `jaccard_distance`.
        camids: (N,) integer camera of every image; -1 (unknown) is refused. With a single camera, which gets a
            warning, only the neighbours within it count.
        k1_intra: neighbours of the reciprocal sets within the camera, the image itself not counted.
        k1_inter: neighbours of the reciprocal sets among the images of other cameras.
        k2_intra: same-camera images to average the encoding over, the image itself counted. The released code takes
            k2_intra = k2_inter = 3 in the first epoch, when neighbours in other cameras are not yet reliable.
        k2_inter: other-camera images to average the encoding over.
        max_share: k1_intra is at most this share, in (0, 1], of the other images of its camera for an image, k1_inter
            of the images of other cameras, and both at least 1; k2 is lowered with k1. 1 lowers nothing that is there.
            What is lowered is said in a warning.
        max_distance: as for `jaccard_distance`.
        method: neighbour search, as for `nearest_neighbours`, like the arguments that follow.
        backend: see `nearest_neighbours`.
        num_lists: see `nearest_neighbours`.
        num_probes: see `nearest_neighbours`.
        rng: see `nearest_neighbours`.
        stopwatch: receives the stages "neighbours" and "jaccard".

    Returns:
        (N, N) float32 CSR, with the same meaning as that of `jaccard_distance`.

    Raises:
        DataError: the features are not usable, a camera is unknown, or an argument is not valid.

    Reference:
        Chen et al., "CA-Jaccard: Camera-aware Jaccard Distance for Person Re-identification", CVPR 2024, sections 3.2
        (CKRNNs) and 3.3 (CLQE).
    """
    features = check_features(features)
    n = len(features)
    stopwatch = stopwatch or Stopwatch()
    widths: dict[str, Any] = {"k1_intra": k1_intra, "k1_inter": k1_inter, "k2_intra": k2_intra, "k2_inter": k2_inter}
    if max_share != 1:
        widths = lowered(camids, max_share=max_share, **widths)
    largest = {name: int(width.max()) if max_share != 1 else width for name, width in widths.items()}
    most = {name: at_most_all(name, width, n) for name, width in largest.items()}
    with stopwatch.stage("neighbours"):
        intra, inter = camera_neighbours(
            features,
            camids,
            k_intra=min(max(most["k1_intra"] + 1, most["k2_intra"]), n),
            k_inter=min(max(most["k1_inter"] + 1, most["k2_inter"]), n),
            method=method,
            backend=backend,
            num_lists=num_lists,
            num_probes=num_probes,
            rng=rng,
        )
    with stopwatch.stage("jaccard"):
        return camera_jaccard_from_neighbours(features, intra, inter, **widths, max_distance=max_distance)


def lowered(
    camids: np.ndarray, *, k1_intra: int, k1_inter: int, k2_intra: int, k2_inter: int, max_share: float
) -> dict[str, np.ndarray]:
    """What `max_share` leaves of the numbers of neighbours of `camera_jaccard_distance`.

    Returns:
        (N,) for each of the four, by name.

    Raises:
        DataError: max_share is not in (0, 1].

    Warns:
        PpreidWarning: k1 of some images is lower than asked for.
    """
    if not 0 < max_share <= 1:
        raise DataError(f"max_share is {max_share!r}; expected a share of the images of a camera in (0, 1]")
    _, camera, sizes = np.unique(camids, return_inverse=True, return_counts=True)
    own = sizes[camera]  # (N,)
    widths, said = {}, []
    for kind, k1, k2, others in (
        ("intra", k1_intra, k2_intra, own - 1),
        ("inter", k1_inter, k2_inter, len(own) - own),
    ):
        # 0.58 * 50 is 29 and not 28, whatever the last bit says
        limit = np.maximum(np.floor(max_share * others + 1e-9).astype(np.int64), 1)
        widths[f"k1_{kind}"] = np.minimum(k1, limit)  # (N,)
        widths[f"k2_{kind}"] = np.where(limit < k1, np.maximum(k2 * limit // max(k1, 1), 1), k2)
        if np.any(limit < k1):
            few = others[limit < k1]
            said.append(
                f"k1_{kind} {k1} becomes {_between(limit[limit < k1])} for {len(few):,} of {len(own):,} images, which "
                f"have {_between(few)} others to choose from"
            )
    if said:
        text = f"{'; '.join(said)}; k2 becomes less in proportion. max_share is {max_share:g}; 1 lowers nothing"
        warnings.warn(text, PpreidWarning, stacklevel=3)
    return widths


def _between(numbers: np.ndarray) -> str:
    """The least and the largest number, or the only one."""
    least, largest = int(numbers.min()), int(numbers.max())
    return f"{least}" + f" to {largest}" * (least < largest)


def camera_jaccard_from_neighbours(
    features: np.ndarray,
    intra: np.ndarray,
    inter: np.ndarray,
    *,
    k1_intra: int | np.ndarray = 5,
    k1_inter: int | np.ndarray = 20,
    k2_intra: int | np.ndarray = 2,
    k2_inter: int | np.ndarray = 4,
    max_distance: float = 1.0,
) -> sparse.csr_matrix:
    """The part of `camera_jaccard_distance` behind the neighbour search.

    Args:
        features: (N, D) rows of unit L2 norm.
        intra: (N, k1_intra + 1) or more columns of the same-camera ranking from `camera_neighbours`.
        inter: (N, k1_inter + 1) or more columns of the other-camera ranking from `camera_neighbours`.
        k1_intra: as for `camera_jaccard_distance`, or (N,) for each image, like the three that follow.
        k1_inter: as for `camera_jaccard_distance`.
        k2_intra: as for `camera_jaccard_distance`.
        k2_inter: as for `camera_jaccard_distance`.
        max_distance: as for `camera_jaccard_distance`.

    Returns:
        As `camera_jaccard_distance`.

    Raises:
        DataError: the features are not usable, the rankings do not fit them, or an argument is not valid.

    Note:
        Both rankings are cut at k1 + 1 columns, as in the released code; for the other cameras that is one more image
        than k1_inter says. An image with fewer neighbours in a ranking is averaged over those that it has.
    """
    features = check_features(features)
    n = len(features)
    intra = check_ranking(intra, n, min(max(np.max(k1_intra) + 1, np.max(k2_intra)), n))
    if len(inter) != n or inter.shape[1] < min(max(np.max(k1_inter) + 1, np.max(k2_inter)), n):
        raise DataError(f"the other-camera ranking has shape {inter.shape}; expected {n} rows and enough columns")
    if np.all(inter < 0):
        warnings.warn(
            "all images come from one camera: the camera-aware distance sees only neighbours within it; "
            "use the ordinary Jaccard distance",
            PpreidWarning,
            stacklevel=2,
        )
    # j is of the same camera as i if i is of the same camera as j: the two kinds of neighbours cannot be confused, and
    # the union of their reciprocal sets is the reciprocal set of the two rankings side by side.
    both = np.hstack([_first(intra, k1_intra + 1), _first(inter, k1_inter + 1)])
    encoding = neighbour_weights(features, reciprocal_neighbours(both, both.shape[1]))
    averaged_over = np.hstack([_first(intra, k2_intra), _first(inter, k2_inter)])
    return jaccard_rows(average_rows(encoding, averaged_over), max_distance)


def _first(ranking: np.ndarray, count: int | np.ndarray) -> np.ndarray:
    """The first columns of a ranking, as many as an image has (N,) or all have; -1 behind them."""
    columns = ranking[:, : np.max(count)]
    return np.where(np.arange(columns.shape[1]) < np.reshape(count, (-1, 1)), columns, np.int32(-1))
