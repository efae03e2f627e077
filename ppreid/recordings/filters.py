"""Which boxes become crops: large enough, sharp enough, in the picture, and not hidden by somebody else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from ppreid.recordings.boxes import overlaps

_LEAST_INSIDE = 0.5  # share of a box that lies in the frame
_SHARPNESS_SIZE = (32, 64)  # pixels in which sharpness is measured, so that large crops are not called blurred


class Filters(NamedTuple):
    """Which boxes become crops.

    Attributes:
        min_width: in pixels.
        min_height: in pixels.
        min_sharpness: see `sharpness`; 0 takes all.
        max_overlap: share of a box that people nearer to the camera may cover.
        min_track: crops are kept of tracks with this many boxes or more.
    """

    min_width: int
    min_height: int
    min_sharpness: float
    max_overlap: float
    min_track: int


def why_not(box: np.ndarray, inside: np.ndarray, hidden: float, picture: np.ndarray, filters: Filters) -> str:
    """Why a box becomes no crop; nothing for one that does.

    Args:
        box: (4 or more,) left, top, width, height, which may leave the picture.
        inside: (4,) the part of it that lies in the picture, see `clipped`.
        hidden: share of it that people nearer to the camera cover.
        picture: (H, W, 3).
        filters: what is asked for.
    """
    width, height = inside[2:].tolist()
    if width * height < _LEAST_INSIDE * box[2] * box[3]:
        return "outside the frame"
    if width < filters.min_width or height < filters.min_height:
        return "too small"
    if hidden > filters.max_overlap:
        return "hidden by another person"
    if filters.min_sharpness > 0 and sharpness(cut_out(picture, inside)) < filters.min_sharpness:
        return "blurred"
    return ""


def clipped(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """The part of boxes (n, 4 or more) that lies in a frame, as whole pixels (n, 4): left, top, width, height."""
    corners = np.rint(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:4]], axis=1))  # (n, 4)
    corners = corners.clip(0, [width, height, width, height]).astype(np.int64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def covered(boxes: np.ndarray) -> np.ndarray:
    """The largest share of each box that one nearer person covers: whose feet are lower in the picture.

    Args:
        boxes: (n, 4 or more): left, top, width, height.

    Returns:
        (n,) 0 to 1.
    """
    feet = boxes[:, 1] + boxes[:, 3]
    shares = overlaps(boxes, boxes) / np.maximum(boxes[:, 2:4].prod(axis=1), 1e-9)[:, None]
    return np.where(feet[None] > feet[:, None], shares, 0.0).max(axis=1, initial=0.0)


def sharpness(crop: np.ndarray) -> float:
    """Variance of the Laplacian of a crop (h, w, 3) in a common size: about 100 and more is sharp, below 20 blurred."""
    grey = Image.fromarray(crop).convert("L").resize(_SHARPNESS_SIZE, Image.Resampling.BILINEAR)
    pixels = np.asarray(grey, np.float64)
    sides = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    return float((sides - 4 * pixels[1:-1, 1:-1]).var())


def cut_out(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The pixels of a box (4,) that lies in the picture."""
    left, top, width, height = box.tolist()
    return picture[top : top + height, left : left + width]
