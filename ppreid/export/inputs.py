"""What goes into an exported network: the layouts of `tables.LAYOUTS`, and how other programs resize their crops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ppreid.datasets.transforms import IMAGE_MEAN, IMAGE_STD, of_channels
from ppreid.tables import LAYOUTS


def input_shape(layout: str, *, height: int, width: int) -> tuple[int, int, int]:
    """Shape of one image as a network of this layout takes it.

    Args:
        layout: a key of LAYOUTS.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """
    return (3, height, width) if LAYOUTS[layout].channels_first else (height, width, 3)


def to_input(pixels: np.ndarray, layout: str) -> np.ndarray:
    """Pixels as a network of this layout takes them.

    Args:
        pixels: RGB (B, H, W, 3), 0 to 255, uint8; float32 only where the layout is.
        layout: a key of LAYOUTS.

    Returns:
        (B, H, W, 3) or (B, 3, H, W) in the type of the layout, contiguous.
    """
    row = LAYOUTS[layout]
    images = pixels.transpose(0, 3, 1, 2) if row.channels_first else pixels
    if row.dtype == "float32":
        images = images.astype(np.float32) / 255
    if not row.normalises:
        images = (images - of_channels(IMAGE_MEAN)) / of_channels(IMAGE_STD)
    return np.ascontiguousarray(images)


def pixels_into(
    opener: Callable[[Path, np.ndarray], Callable[[np.ndarray], np.ndarray]],
    folder: Path,
    *,
    layout: str,
    size: tuple[int, int],
) -> Callable[[np.ndarray], np.ndarray]:
    """Open a network of any layout as one that takes pixels.

    Args:
        opener: `ppreid.export.exported.open_onnx_file`, or another function like it.
        folder: of the export.
        layout: of the network, a key of LAYOUTS.
        size: height and width of the images.

    Returns:
        RGB pixels (B, H, W, 3), 0 to 255, as `to_input` takes them, to features (B, D).

    Raises:
        RuntimeError, ValueError, OSError: the network cannot be read or run.
    """
    forward = opener(folder, to_input(np.zeros((1, *size, 3), np.uint8), layout))
    return lambda pixels: forward(to_input(pixels, layout))


def bilinear(image: Image.Image, *, height: int, width: int) -> np.ndarray:
    """Resize with two taps per axis and without smoothing, in float32, as torch's `interpolate` does.

    Args:
        image: RGB, of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.

    Returns:
        RGB (height, width, 3) float32, 0 to 255.

    Reference:
        torch.nn.functional.interpolate with mode "bilinear" and align_corners False: the centre of pixel i of the
        result lies at (i + 0.5) * scale - 0.5 of the image, and what lies outside is the nearest pixel.
    """
    pixels = np.asarray(image, np.float32)
    for axis, size in ((0, height), (1, width)):
        length = pixels.shape[axis]
        places = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)  # (size,)
        before = places.astype(np.int64)
        after = np.minimum(before + 1, length - 1)
        share = (places - before).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        pixels = pixels.take(before, axis) * (1 - share) + pixels.take(after, axis) * share
    return pixels


def bilinear_8bit(image: Image.Image, *, height: int, width: int) -> np.ndarray:
    """The same, rounded to uint8, as OpenCV's `resize` with INTER_LINEAR does with 8-bit images (to one level).

    Args:
        image: RGB, of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.

    Returns:
        RGB (height, width, 3) uint8.
    """
    return np.rint(bilinear(image, height=height, width=width)).astype(np.uint8)
