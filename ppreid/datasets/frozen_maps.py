"""Augmentation of what the frozen stages of a network made of an image, as near to that of the image as maps allow."""

import numpy as np

from ppreid.datasets.transforms import draw_rectangle

Pair = tuple[np.ndarray, np.ndarray]  # maps (C, h, w) of an image, and those of its mirror image


def train_maps(
    pair: Pair, rng: np.random.Generator, *, height: int, width: int, flip: float, pad: int, erasing: float
) -> np.ndarray:
    """Flip, shift and erase, with the draws of `train_transform`.

    Args:
        pair: maps of an image and of its mirror image.
        rng: source of all randomness.
        height: of the image in pixels.
        width: of the image in pixels.
        flip: probability of the mirror image, whose maps are its own.
        pad: the image is shifted by up to this many pixels in each direction, its maps by the nearest whole position;
            what enters is 0.
        erasing: probability that a rectangle of the image is erased, of its maps the nearest whole positions; they
            become 0, as they are where nothing is seen.

    Returns:
        Maps (C, h, w).
    """
    maps = pair[1] if rng.random() < flip else pair[0]
    down, right = height / maps.shape[1], width / maps.shape[2]  # pixels between two positions
    top, left = (int(rng.integers(0, 2 * pad, endpoint=True)) - pad for _ in range(2))
    maps = shifted(maps, rows=round(top / down), columns=round(left / right))
    if rng.random() < erasing and (rectangle := draw_rectangle(rng, height=height, width=width)):
        rows = slice(round(rectangle.top / down), round((rectangle.top + rectangle.height) / down))
        columns = slice(round(rectangle.left / right), round((rectangle.left + rectangle.width) / right))
        maps = maps.copy()  # they may be those of a file
        maps[:, rows, columns] = 0
    return maps


def shifted(maps: np.ndarray, *, rows: int, columns: int) -> np.ndarray:
    """Maps (C, h, w) with the value of position (y + rows, x + columns) at (y, x), and 0 where there is none."""
    by = max(abs(rows), abs(columns))
    padded = np.pad(maps, ((0, 0), (by, by), (by, by)))
    return padded[:, by + rows : by + rows + maps.shape[1], by + columns : by + columns + maps.shape[2]]
