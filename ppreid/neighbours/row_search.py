"""The exact neighbours of some of the images among all: a search that several machines share."""

import numpy as np

from ppreid.base.errors import DataError
from ppreid.base.progress import progress
from ppreid.neighbours import tiles
from ppreid.neighbours.certified import rank_certified
from ppreid.neighbours.checks import at_most_all, check_features
from ppreid.neighbours.ranking import Ranking, rank_on_device
from ppreid.tables import NEIGHBOURS

# Rows of what is shared out end at multiples of this, where blocks end on every device.
ROWS_PER_SHARE = 8192


def row_neighbours(
    features: np.ndarray, k: int, rows: range, *, method: str = "exact", backend: str = "auto"
) -> np.ndarray:
    """Find the k most similar images of some images: rows of the indices of `nearest_neighbours`, the same numbers.

    Args:
        features: as for `nearest_neighbours`, (N, D).
        k: as for `nearest_neighbours`.
        rows: the images; they begin at a multiple of `ROWS_PER_SHARE`, and end at one or at N.
        method: as for `nearest_neighbours`, where that is exact.
        backend: as for `nearest_neighbours`.

    Returns:
        (rows, k) int32, the image itself in column 0.

    Raises:
        DataError: the features are not usable, an argument is not valid, or the method is not exact for N images.

    Note:
        "exact" multiplies the same blocks in the same order as for all images, so that machines of one kind round
        alike; "certified" rounds alike on all machines. A product serves both its images only if both are among the
        rows, so that all shares together take up to twice the products of one search.
    """
    features = check_features(features)
    k = at_most_all("k", k, len(features))
    if len(features) > NEIGHBOURS[method].exact_up_to:
        raise DataError(f"method {method!r} is not exact for {len(features):,} images; use 'certified' or 'exact'")
    if any(row % ROWS_PER_SHARE for row in (rows.start, rows.stop) if row != len(features)):
        raise DataError(f"rows are {rows}; expected a range between multiples of {ROWS_PER_SHARE}")
    if not rows:
        return np.empty((0, k), np.int32)
    ranking = Ranking(np.zeros(len(features), np.int64), k - 1, same_group=True, rows=rows)
    matmul = tiles.choose_matmul(backend)
    if tiles.choose_backend(backend) == "paddle":
        rank_on_device(features, [ranking])
    elif not (NEIGHBOURS[method].certified and rank_certified(features, [ranking], matmul=matmul)):
        found, total = tiles.exact_tiles(features, matmul=matmul, rows=rows), tiles.num_tiles(len(features), rows)
        for tile in progress(found, total=total, description="neighbours", unit="tile"):
            ranking.merge(tile)
    return ranking.with_self_first()[1]
