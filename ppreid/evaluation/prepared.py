"""What is done to features before they are compared: centred by camera, and colour put beside them."""

import warnings
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from ppreid.base.errors import PpreidWarning
from ppreid.base.records import ReIDSplit, ids
from ppreid.contracts import Ranker
from ppreid.neighbours.camera_centre import SHRINKAGE, CameraCentres

Result = TypeVar("Result")
COLOUR, COLOUR_CENTRED = "colour", "colour, centred"


class Preparation(NamedTuple):
    """How features of query and gallery are prepared.

    Attributes:
        camera_centre: images as which the mean of all counts in that of a camera, see `CameraCentres`; 0: not
            centred.
        colour_weight: share of colour in the similarity, from 0 (none) to 1 (nothing else).
    """

    camera_centre: float = 0.0
    colour_weight: float = 0.0


def prepared_features(
    features: np.ndarray, *, split: ReIDSplit, how: Preparation, colour: Callable[[], np.ndarray]
) -> np.ndarray:
    """Features of query and gallery as they are compared.

    Args:
        features: (Q + G, D) unit rows, the queries first.
        split: the data set, of which cameras are read and no identities.
        how: what is done.
        colour: gives the colour (Q + G, 768) of the same images, unit rows; called only where it is used.

    Returns:
        (Q + G, D or D + 768) unit rows, up to rounding; the very features that came where nothing is asked for. The
        cosine of two rows is `(1 - colour_weight) * cosine of features + colour_weight * cosine of colour`, each
        centred by itself.

    Note:
        The means of the cameras are those of the gallery: no labels, but more than one image at a time, which results
        that are compared with others' have to say.
    """
    if how.colour_weight == 0:
        return centred(features, split, how.camera_centre)
    parts = [centred(part, split, how.camera_centre) for part in (features, colour())]
    # square roots, since each weight goes into both of the vectors that a cosine multiplies
    weights = np.sqrt(np.array([1 - how.colour_weight, how.colour_weight], dtype=np.float32))
    return np.concatenate([weight * part for weight, part in zip(weights, parts, strict=True)], axis=1)


def centred(features: np.ndarray, split: ReIDSplit, shrinkage: float) -> np.ndarray:
    """Features (Q + G, D), the queries first, less the mean of the gallery's images of their camera; 0: as they are."""
    if shrinkage == 0:
        return features
    (_, query_camids), (_, gallery_camids) = ids(split.query), ids(split.gallery)
    centres = CameraCentres(features[len(split.query) :], gallery_camids, shrinkage=shrinkage)
    return centres.subtracted_from(features, np.concatenate([query_camids, gallery_camids]))


def colour_rankings(split: ReIDSplit, colour: Callable[[], np.ndarray], *, rank: Ranker[Result]) -> dict[str, Result]:
    """What colour alone reaches, plain and centred by camera: a network that is below has not earned its keep.

    Args:
        split: data set with query and gallery.
        colour: gives the colour (Q + G, 768) of their images.
        rank: features, identities and cameras of query and gallery -> result.

    Returns:
        Two results by name.
    """
    plain, count = colour(), len(split.query)
    (query_pids, query_camids), (gallery_pids, gallery_camids) = ids(split.query), ids(split.gallery)
    identities = (query_pids, gallery_pids, query_camids, gallery_camids)
    with warnings.catch_warnings():
        # cameras with few images are a fact of the data, which is said where somebody asks for centring
        warnings.simplefilter("ignore", PpreidWarning)
        features = {COLOUR: plain, COLOUR_CENTRED: centred(plain, split, SHRINKAGE)}
    return {name: rank(each[:count], each[count:], *identities) for name, each in features.items()}
