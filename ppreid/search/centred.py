"""Features of an index less what their camera adds to all of them: the means grow with the index."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from ppreid.datasets.colour import COLOUR_DIM
from ppreid.neighbours.camera_centre import CameraCentres

CENTRED = "centred by camera"  # a fact of an index of which this is true
Centring = Callable[[np.ndarray, np.ndarray], np.ndarray]


def centring_of(
    parts: Sequence[np.ndarray], camids: np.ndarray, *, shrinkage: float, colour_weight: float = 0.0
) -> Centring:
    """Learn the means of the cameras of an index.

    Args:
        parts: features (n, D) unit rows of each part; together (N, D).
        camids: (N,) cameras, -1 unknown.
        shrinkage: see `CameraCentres`.
        colour_weight: share of colour in the similarity; where there is any, the last 768 numbers are colour, and it is
            centred by itself.

    Returns:
        Rows (n, D) and their cameras (n,) to unit rows (n, D). A row that equals its means stays as it was, since it
        would have no direction.
    """
    features = np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])
    ends = [0, features.shape[1] - COLOUR_DIM, features.shape[1]] if colour_weight else [0, features.shape[1]]
    blocks = [slice(*pair) for pair in pairwise(ends)]
    lengths = np.sqrt([1 - colour_weight, colour_weight][: len(blocks)]).astype(np.float32)
    used = [(block, length) for block, length in zip(blocks, lengths, strict=True) if length > 0]
    centres = [CameraCentres(features[:, block] / length, camids, shrinkage=shrinkage) for block, length in used]

    def centred(rows: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        found = np.array(rows, dtype=np.float32)
        for (block, length), centre in zip(used, centres, strict=True):
            own = centre.subtracted_from(found[:, block] / length, cameras)
            has_direction = own.any(axis=1)
            found[has_direction, block] = length * own[has_direction]
        return found

    return centred
