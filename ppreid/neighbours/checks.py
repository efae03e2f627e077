"""What the clustering accepts: finite unit rows, in memory or memory-mapped."""

import warnings

import numpy as np

from ppreid.base.errors import DataError, PpreidError, PpreidWarning, WeightsError

# Rows are checked in blocks of this many, so that a memory-mapped file is never read into memory as a whole.
ROWS_PER_BLOCK = 8192
# On |norm - 1|; rounding a unit row to float16 moves its norm by less than 5e-4.
UNIT_NORM_TOLERANCE = 2e-3
# Images whose features are all the same: fewer may well be copies of one picture.
MIN_COLLAPSED = 8
# Of a component. Damaged weights give rows that are equal but for rounding (1e-7); pictures of a still scene differ by
# more than 1e-4, even under random weights.
SAME = 1e-5


def check_features(features: np.ndarray) -> np.ndarray:
    """Check that features can be clustered, and give them back as a plain array.

    Args:
        features: (N, D) rows of unit L2 norm, float32 or float16, in memory or an np.memmap. float64 (and rows that are
            not contiguous) is copied once to float32; give float32 or float16 to avoid the copy.

    Returns:
        (N, D) float32 or float16, C-contiguous; a view of `features` wherever no copy is needed.

    Raises:
        DataError: the array is not two-dimensional, is empty, does not hold floating-point numbers, or has rows that
            are not finite, zero, or not of unit norm; the message lists such rows.
    """
    if not isinstance(features, np.ndarray):
        raise DataError(f"features are a {type(features).__name__}; pass a numpy array (tensor.numpy())")
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(f"features have shape {features.shape}; expected (images, dimensions), both at least 1")
    if features.dtype.kind != "f":
        raise DataError(f"features are {features.dtype}; expected float32, float16 or float64")
    for start in range(0, len(features), ROWS_PER_BLOCK):
        _check_rows(np.asarray(features[start : start + ROWS_PER_BLOCK]), start)
    dtype = features.dtype if features.dtype in (np.float16, np.float32) else np.float32
    return np.ascontiguousarray(features, dtype=dtype)


def _check_rows(block: np.ndarray, start: int) -> None:
    if block.dtype == np.float16:
        block = block.astype(np.float32)  # a sum of 2048 squares in float16 is rounded by more than the tolerance
    squared_norms = np.einsum("nd,nd->n", block, block)  # (n,)
    # twice the tolerance, since (1 + t)**2 is about 1 + 2 t; written so that NaN counts as not unit
    not_unit = ~(np.abs(squared_norms - 1) <= 2 * UNIT_NORM_TOLERANCE)  # (n,)
    if not not_unit.any():
        return
    not_finite = ~np.isfinite(block).all(axis=1)
    # from the narrowest cause to the widest: a row that is not finite is not of unit norm either
    for bad, problem, remedy in (
        (not_finite, "hold NaN or infinity", "look at these images and at the network's loss"),
        (squared_norms == 0, "are zero", "a zero vector has no direction; look at these images"),
        (not_unit, "are not of unit norm", "divide each row by its L2 norm"),
    ):
        if bad.any():
            rows = np.flatnonzero(bad)
            shown = ", ".join(str(start + row) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
            norm = np.sqrt(squared_norms[rows[0]])
            raise DataError(
                f"features are not usable: {len(rows)} of the rows {start} to {start + len(block) - 1} {problem}: "
                f"{shown} (norm of the first: {norm:.4g}); {remedy}"
            )


def check_not_collapsed(
    features: np.ndarray, *, error: type[PpreidError] = WeightsError, min_rows: int = MIN_COLLAPSED
) -> None:
    """Refuse features that are the same for every image: whatever is computed from them would look plausible.

    Args:
        features: (N, D) unit rows, in memory or an np.memmap; read only as far as needed to see a difference.
        error: class of what is raised; WeightsError where a network computed them.
        min_rows: fewer rows are always accepted; at least 2.

    Raises:
        error: there are min_rows or more, and all are the same to 1e-5.
    """
    if len(features) < min_rows:
        return
    for start in range(0, len(features), ROWS_PER_BLOCK):
        block = np.asarray(features[start : start + ROWS_PER_BLOCK], dtype=np.float32)
        if not (np.abs(block - np.asarray(features[0], dtype=np.float32)) <= SAME).all():
            return
    raise error(
        f"all {len(features)} features are the same to {SAME:g}: the network gives every image the same vector, so "
        "that nothing can be told apart. The weights are damaged or do not fit the network, or all images are copies "
        "of one; check model.weights, and look at the images"
    )


def check_row_ids(ids: np.ndarray, num_rows: int, name: str) -> np.ndarray:
    """Check one integer per image (labels, camera or identity numbers) and give them back as (N,) int64.

    Raises:
        DataError: the shape is not (num_rows,) or the values are not integers that int64 can hold.
    """
    ids = np.asarray(ids)
    if ids.shape != (num_rows,) or ids.dtype.kind not in "iu":
        raise DataError(f"{name} have shape {ids.shape} and type {ids.dtype}; expected ({num_rows},) integers")
    if ids.max(initial=0) > np.iinfo(np.int64).max:  # uint64, which would come out negative
        raise DataError(f"{name} go up to {ids.max()}, which int64 cannot hold; number them anew")
    return ids.astype(np.int64, copy=False)


def check_ranking(indices: np.ndarray, num_images: int, num_columns: int) -> np.ndarray:
    """Check neighbour indices and give them back as int32.

    Raises:
        DataError: they are not integers in [-1, N), have the wrong number of rows or too few columns, or column 0 is
            not the image itself.
    """
    if indices.ndim != 2 or len(indices) != num_images or indices.dtype.kind not in "iu":
        raise DataError(
            f"neighbour indices have shape {indices.shape} and type {indices.dtype}; expected {num_images} rows of "
            "integers, one for each image"
        )
    if indices.shape[1] < num_columns:
        raise DataError(f"{indices.shape[1]} neighbours per image are given, {num_columns} needed; search for more")
    if indices.min() < -1 or indices.max() >= num_images:
        raise DataError(
            f"neighbour indices lie in [{indices.min()}, {indices.max()}]; expected image numbers below {num_images}, "
            "or -1 for an empty place"
        )
    if not np.array_equal(indices[:, 0], np.arange(num_images)):
        row = int(np.argmax(indices[:, 0] != np.arange(num_images)))
        raise DataError(
            f"column 0 of the neighbour indices must be the image itself; row {row} has {indices[row, 0]}; "
            "use nearest_neighbours, which takes care of duplicates"
        )
    return indices.astype(np.int32, copy=False)


def at_most_all(name: str, value: int, num_images: int) -> int:
    """Clamp a number of neighbours to the number of images, with a warning when that changes it.

    Raises:
        DataError: the number is not a positive integer.
    """
    if not isinstance(value, int | np.integer) or value < 1:
        raise DataError(f"{name} is {value!r}; expected a positive integer")
    if value > num_images:
        warnings.warn(
            f"{name} is {value} but there are only {num_images} images; using {num_images}", PpreidWarning, stacklevel=3
        )
        return num_images
    return int(value)
