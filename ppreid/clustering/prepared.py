"""What is done to features before the distances of pseudo labels: centred by camera, or colour in their place."""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

from ppreid.base.progress import Stopwatch
from ppreid.contracts import Distance
from ppreid.neighbours.camera_centre import CameraCentres


def prepared_distance(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    stopwatch: Stopwatch,
    distance: Distance,
    camera_centre: float = 0.0,
    instead: Callable[[], np.ndarray] | None = None,
) -> csr_matrix:
    """Distances (N, N) of features that are prepared; a `Distance` around another.

    Args:
        features: (N, D) unit rows of the network.
        camids: (N,) cameras, -1 unknown.
        stopwatch: receives the stages of the distance, and "prepare".
        distance: of the prepared features.
        camera_centre: see `CameraCentres`, of all N images; 0 centres nothing.
        instead: gives other features (N, D') of the same images, which take the place of the network's.

    Returns:
        What `distance` returns.
    """
    with stopwatch.stage("prepare"):
        if instead is not None:
            features = instead()
        if camera_centre > 0:
            features = CameraCentres(features, camids, shrinkage=camera_centre).subtracted_from(features, camids)
    return distance(features, camids, stopwatch=stopwatch)
