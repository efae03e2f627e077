"""Positions of a ViT in a file, stretched to the patches of the images that the network is made for."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppreid.base.errors import WeightsError

POSITIONS = "backbone.pos_embed"
CLASS_POSITION, PATCH_POSITIONS = "cls_pos", "pos_embed"  # in files of PASS


def join_class_position(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the position of the class token before those of the patches, where a file has it apart.

    Args:
        tensors: {name in the file: array}.

    Returns:
        The tensors, with one array of positions.
    """
    found = dict(tensors)
    if CLASS_POSITION in found and PATCH_POSITIONS in found:
        found[PATCH_POSITIONS] = np.concatenate([found.pop(CLASS_POSITION), found[PATCH_POSITIONS]], axis=1)
    return found


def fit_positions(path: Path, tensors: Mapping[str, np.ndarray], model: nn.Layer) -> dict[str, np.ndarray]:
    """Stretch the positions of a file where their number is not that of the network.

    Args:
        path: the file, for messages.
        tensors: {our name: array} of the file.
        model: a ReIDNet.

    Returns:
        The tensors; all of them unchanged where there are no positions, or as many as the network has.

    Raises:
        WeightsError: the positions of the file are no grid of model.position_ratio.
    """
    found = dict(tensors)
    grid, positions = getattr(model.backbone, "grid", None), found.get(POSITIONS)
    if grid is None or positions is None or positions.ndim != 3 or positions.shape[1] == 1 + math.prod(grid):
        return found
    ratio, count = model.backbone.position_ratio, positions.shape[1] - 1
    rows = math.isqrt(count * ratio)
    columns = rows // ratio
    if rows * columns != count or not count:
        raise WeightsError(
            f"{path} has positions for {count} patches, which are no grid of model.position_ratio={ratio} (rows per "
            f"column); the network has {grid[0]} x {grid[1]}. Set model.position_ratio to that of the images that the "
            "file was trained with: 2 for 256x128, 3 for 384x128, 1 for square ones, as ImageNet's"
        )
    found[POSITIONS] = resize_positions(positions, old=(rows, columns), new=grid)
    return found


def resize_positions(positions: np.ndarray, *, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """Stretch positions bilinearly, the centres of patches on those of patches; that of the class token stays.

    Args:
        positions: (1, 1 + h0 * w0, D), row by row behind the class token.
        old: h0 and w0.
        new: h and w.

    Returns:
        (1, 1 + h * w, D) float32.

    Reference:
        TransReID (He et al., ICCV 2021), section 3.1: patches of images of another size.
    """
    dim = positions.shape[2]
    maps = paddle.to_tensor(positions[:, 1:].astype(np.float32)).transpose([0, 2, 1]).reshape([1, dim, *old])
    stretched = F.interpolate(maps, size=list(new), mode="bilinear", align_corners=False)  # (1, D, h, w)
    patches = stretched.flatten(2).transpose([0, 2, 1]).numpy()  # (1, h * w, D)
    return np.concatenate([positions[:, :1].astype(np.float32), patches], axis=1)
