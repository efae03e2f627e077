"""Camera-aware Jaccard distance: reciprocal neighbours are looked for within a camera and between cameras separately.

Images of one camera resemble each other because of its light and background, so that in an ordinary ranking they crowd
out the same person in other cameras.
"""

import warnings

import numpy as np
from scipy import sparse

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.base.progress import Stopwatch
from ppreid.clustering.jaccard import jaccard_rows
from ppreid.neighbours.checks import at_most_all, check_features, check_ranking
from ppreid.neighbours.reciprocal import average_rows, neighbour_weights, reciprocal_neighbours
from ppreid.neighbours.search import camera_neighbours
from ppreid.tables import DEFAULT_PROBES


def camera_jaccard_distance(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    k1_intra: int = 5,
    k1_inter: int = 20,
    k2_intra: int = 2,
    k2_inter: int = 4,
    max_distance: float = 1.0,
    method: str = "exact",
    backend: str = "auto",
    num_lists: int | None = None,
    num_probes: int = DEFAULT_PROBES,
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
    with stopwatch.stage("neighbours"):
        intra, inter = camera_neighbours(
            features,
            camids,
            k_intra=min(max(at_most_all("k1_intra", k1_intra, n) + 1, at_most_all("k2_intra", k2_intra, n)), n),
            k_inter=min(max(at_most_all("k1_inter", k1_inter, n) + 1, at_most_all("k2_inter", k2_inter, n)), n),
            method=method,
            backend=backend,
            num_lists=num_lists,
            num_probes=num_probes,
            rng=rng,
        )
    with stopwatch.stage("jaccard"):
        return camera_jaccard_from_neighbours(
            features,
            intra,
            inter,
            k1_intra=k1_intra,
            k1_inter=k1_inter,
            k2_intra=k2_intra,
            k2_inter=k2_inter,
            max_distance=max_distance,
        )


def camera_jaccard_from_neighbours(
    features: np.ndarray,
    intra: np.ndarray,
    inter: np.ndarray,
    *,
    k1_intra: int = 5,
    k1_inter: int = 20,
    k2_intra: int = 2,
    k2_inter: int = 4,
    max_distance: float = 1.0,
) -> sparse.csr_matrix:
    """The part of `camera_jaccard_distance` behind the neighbour search.

    Args:
        features: (N, D) rows of unit L2 norm.
        intra: (N, k1_intra + 1) or more columns of the same-camera ranking from `camera_neighbours`.
        inter: (N, k1_inter + 1) or more columns of the other-camera ranking from `camera_neighbours`.
        k1_intra: as for `camera_jaccard_distance`.
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
    intra = check_ranking(intra, n, min(max(k1_intra + 1, k2_intra), n))
    if len(inter) != n or inter.shape[1] < min(max(k1_inter + 1, k2_inter), n):
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
    both = np.hstack([intra[:, : k1_intra + 1], inter[:, : k1_inter + 1]])
    encoding = neighbour_weights(features, reciprocal_neighbours(both, both.shape[1]))
    averaged_over = np.hstack([intra[:, :k2_intra], inter[:, :k2_inter]])
    return jaccard_rows(average_rows(encoding, averaged_over), max_distance)
