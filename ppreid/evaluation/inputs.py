"""What evaluation is given: arrays that are checked, and features centred by camera or with colour beside them."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.base.records import ReIDSplit, ids
from ppreid.contracts import Ranker
from ppreid.neighbours.camera_centre import SHRINKAGE, CameraCentres

Result = TypeVar("Result")
COLOUR, COLOUR_CENTRED, NETWORK_ALONE = "colour", "colour, centred", "network alone"
COLOUR_WITHIN_TRACKS = "colour, within tracks"


class Identities(NamedTuple):
    """Identities and cameras of the queries (Q,) and of the gallery (G,); pid -1 is unknown."""

    query_pids: np.ndarray
    gallery_pids: np.ndarray
    query_camids: np.ndarray
    gallery_camids: np.ndarray


def checked_identities(shape: tuple[int, ...], ids: Identities) -> Identities:
    """Identities and cameras as arrays that fit the distances.

    Args:
        shape: (Q, G) of the distances.
        ids: four sequences of integers.

    Returns:
        The same as arrays.

    Raises:
        DataError: if there are no distances, or a length differs.
    """
    if len(shape) != 2 or 0 in shape:
        raise DataError(f"distances have shape {shape}; expected (queries, gallery) with at least one of each")
    ids = Identities(*map(np.asarray, ids))
    for name, array, length in zip(Identities._fields, ids, (*shape, *shape), strict=True):
        if array.shape != (length,):
            raise DataError(f"{name} has shape {array.shape}; expected ({length},), one entry per image")
    return ids


def checked_features(query_features: np.ndarray, gallery_features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Query and gallery features as finite float32 matrices of the same dimension.

    Args:
        query_features: (Q, D), Q at least 1.
        gallery_features: (G, D), G at least 1.

    Returns:
        (Q, D) and (G, D) float32, not copied where they already are.

    Raises:
        DataError: if a shape does not fit, or a value is NaN or infinite.
    """
    query, gallery = (np.asarray(features, dtype=np.float32) for features in (query_features, gallery_features))
    for name, features in (("query", query), ("gallery", gallery)):
        if features.ndim != 2 or 0 in features.shape:
            raise DataError(f"{name} features have shape {features.shape}; expected (images, dimensions), neither 0")
        # the sum of a row is finite only if all its values are, and needs no (N, D) mask
        broken = np.flatnonzero(~np.isfinite(features.sum(axis=1, dtype=np.float64)))
        if broken.size:
            raise DataError(f"{name} features are not finite in {row_list(broken)}; check the weights of the model")
    if query.shape[1] != gallery.shape[1]:
        raise DataError(
            f"query features have {query.shape[1]} dimensions, gallery features {gallery.shape[1]}; "
            "extract both with the same model"
        )
    return query, gallery


def row_list(rows: Sequence[int] | np.ndarray) -> str:
    """Rows for a message.

    Args:
        rows: row numbers.

    Returns:
        For example "2 rows (17, 405)"; at most five numbers.
    """
    return f"{len(rows)} rows ({', '.join(map(str, rows[:5]))}{', ...' if len(rows) > 5 else ''})"


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
    return beside_colour(*parts, weight=how.colour_weight)


def beside_colour(features: np.ndarray, colour: np.ndarray, *, weight: float) -> np.ndarray:
    """Rows (n, D + 768) whose cosine is the mean of those of features (n, D) and colour (n, 768), weighted."""
    # square roots, since each weight goes into both of the vectors that a cosine multiplies
    shares = np.sqrt(np.array([1 - weight, weight], dtype=np.float32))
    return np.concatenate([shares[0] * features, shares[1] * colour], axis=1)


def centred(features: np.ndarray, split: ReIDSplit, shrinkage: float) -> np.ndarray:
    """Features (Q + G, D), the queries first, less the mean of the gallery's images of their camera; 0: as they are."""
    if shrinkage == 0:
        return features
    (_, query_camids), (_, gallery_camids) = ids(split.query), ids(split.gallery)
    centres = CameraCentres(features[len(split.query) :], gallery_camids, shrinkage=shrinkage)
    return centres.subtracted_from(features, np.concatenate([query_camids, gallery_camids]))


def colour_rankings(
    split: ReIDSplit,
    colour: Callable[[], np.ndarray],
    *,
    rank: Ranker[Result],
    mapped: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, Result]:
    """What colour alone reaches, plain and centred by camera: a network that is below has not earned its keep.

    Args:
        split: data set with query and gallery.
        colour: gives the colour (Q + G, 768) of their images.
        rank: features, identities and cameras of query and gallery -> result.
        mapped: colour to colour in which what changes within tracks counts less; None: there is no such row.

    Returns:
        Two or three results by name; the third is mapped, and centred behind it.
    """
    plain, count = colour(), len(split.query)
    (query_pids, query_camids), (gallery_pids, gallery_camids) = ids(split.query), ids(split.gallery)
    identities = (query_pids, gallery_pids, query_camids, gallery_camids)
    with warnings.catch_warnings():
        # cameras with few images are a fact of the data, which is said where somebody asks for centring
        warnings.simplefilter("ignore", PpreidWarning)
        features = {COLOUR: plain, COLOUR_CENTRED: centred(plain, split, SHRINKAGE)}
        if mapped:
            features[COLOUR_WITHIN_TRACKS] = centred(mapped(plain), split, SHRINKAGE)
    return {name: rank(each[:count], each[count:], *identities) for name, each in features.items()}
