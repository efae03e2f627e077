"""Jaccard distance from neighbours of which only a share may be of the image's own camera.

Frames of one passage are so alike that they take all places among the nearest neighbours, and nothing that another
camera saw comes into view. The quota keeps places for other cameras; unlike `camera_jaccard_distance` it changes
nothing but the ranking.
"""

from typing import Any

import numpy as np
from scipy import sparse

from ppreid.base.errors import DataError
from ppreid.base.progress import Stopwatch
from ppreid.clustering.jaccard import jaccard_from_neighbours
from ppreid.neighbours.checks import at_most_all, check_features
from ppreid.neighbours.compiled import readable
from ppreid.neighbours.search import camera_neighbours
from ppreid.neighbours.similarity_kernels import pair_similarities


def quota_distance(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    k1: int = 30,
    k2: int = 6,
    camera_quota: float = 0.5,
    max_distance: float = 1.0,
    stopwatch: Stopwatch | None = None,
    **search: Any,  # noqa: ANN401 - of `camera_neighbours`
) -> sparse.csr_matrix:
    """k-reciprocal Jaccard distance of neighbours that `neighbours_by_quota` finds.

    Args:
        features: (N, D) rows of unit L2 norm, as for `jaccard_distance`.
        camids: (N,) integer camera of every image; -1 (unknown) is refused.
        k1: as for `jaccard_distance`.
        k2: as for `jaccard_distance`.
        camera_quota: largest share of neighbours of the image's own camera, see `neighbours_by_quota`; with 1 the
            distance is that of `jaccard_distance`.
        max_distance: as for `jaccard_distance`.
        stopwatch: receives the stages "neighbours" and "jaccard".
        **search: method, backend, num_lists, num_probes and rng, as for `camera_neighbours`.

    Returns:
        As `jaccard_distance`.

    Raises:
        DataError: the features are not usable, a camera is unknown, or an argument is not valid.
    """
    features = check_features(features)
    k1, k2 = at_most_all("k1", k1, len(features)), at_most_all("k2", k2, len(features))
    stopwatch = stopwatch or Stopwatch()
    with stopwatch.stage("neighbours"):
        indices = neighbours_by_quota(features, camids, max(k1, k2), camera_quota=camera_quota, **search)
    with stopwatch.stage("jaccard"):
        return jaccard_from_neighbours(features, indices, k1=k1, k2=k2, max_distance=max_distance)


def neighbours_by_quota(
    features: np.ndarray,
    camids: np.ndarray,
    k: int,
    *,
    camera_quota: float,
    **search: Any,  # noqa: ANN401 - of `camera_neighbours`
) -> np.ndarray:
    """The most similar images of every image, of which at most a share is of its own camera, however many one looks at.

    Behind the image itself, place after place, the most similar image that is left is taken; one of the image's own
    camera only as long as no more than `camera_quota` * n of the first n neighbours, rounded up, are of that camera.

    Args:
        features: (N, D) rows of unit L2 norm.
        camids: (N,) camera of every image.
        k: number of columns, the image itself in column 0 included; at most N.
        camera_quota: in [0, 1]; 0 takes other cameras only, 1 whatever is nearest.
        **search: method, backend, num_lists, num_probes and rng, as for `camera_neighbours`.

    Returns:
        (N, k) int32 image numbers; -1 in places that only images of the own camera could take.

    Raises:
        DataError: the features are not usable, a camera is unknown, or an argument is not valid.

    Note:
        Exact where the search is: of either kind no image beyond the k nearest can come in.
    """
    if not 0 <= camera_quota <= 1:
        raise DataError(f"camera_quota is {camera_quota!r}; expected a share of the neighbours in [0, 1]")
    # 0.56 * 25 is 14 and not 15, whatever the last bit says
    allowed = np.ceil(camera_quota * np.arange(k) - 1e-9).astype(np.int64)  # of the first 0, 1, ... neighbours
    own, other = camera_neighbours(features, camids, k_intra=1 + int(allowed[-1]), k_inter=k - 1, **search)
    # one column more of each, in which nothing is left
    own, other = (np.pad(ranking, ((0, 0), (0, 1)), constant_values=-1) for ranking in (own[:, 1:], other))
    similar = [_similarities(features, ranking) for ranking in (own, other)]
    rows = np.arange(len(features))
    places = np.full((len(rows), k), -1, np.int32)
    places[:, 0] = rows
    taken, others_taken = np.zeros_like(rows), np.zeros_like(rows)
    for place in range(1, k):
        mine, theirs = own[rows, taken], other[rows, others_taken]
        difference = similar[0][rows, taken] - similar[1][rows, others_taken]
        is_nearer = (difference > 0) | ((difference == 0) & (mine < theirs))  # equal ones by number
        take_own = is_nearer & (mine >= 0) & (taken < allowed[place])
        places[:, place] = np.where(take_own, mine, theirs)
        taken += take_own
        others_taken += ~take_own & (theirs >= 0)
    return places


def _similarities(features: np.ndarray, ranking: np.ndarray) -> np.ndarray:
    """Similarity (N, m) of every image to those of its ranking (N, m); -2, less than any, in empty places."""
    values = np.empty(ranking.size, np.float32)
    starts = np.arange(len(ranking) + 1) * ranking.shape[1]
    pair_similarities(readable(features), starts, np.maximum(ranking, 0).ravel(), values)
    return np.where(ranking < 0, np.float32(-2), values.reshape(ranking.shape))
