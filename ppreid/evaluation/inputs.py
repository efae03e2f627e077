"""Checks of the arrays that evaluation is given."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import DataError


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
