"""Image transforms: a Pillow image in, a float32 array (3, H, W) out.

Each step is a function of its inputs; the two functions at the end chain them as ISE does.

Reference:
    Released ISE code: the order of the steps, the parameters of random erasing.
    Zhong et al., "Random erasing data augmentation", AAAI 2020.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

IMAGE_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB, pixel values in [0, 1]
IMAGE_STD = (0.229, 0.224, 0.225)

ERASE_AREA = (0.02, 0.4)  # fraction of the image
ERASE_ASPECT = (0.3, 1 / 0.3)  # height / width
ERASE_ATTEMPTS = 100


class Rectangle(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


def train_transform(
    image: Image.Image,
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
    flip: float = 0.5,
    pad: int = 10,
    erasing: float = 0.5,
    color_jitter: float = 0.0,
    grayscale: float = 0.0,
    mean: Sequence[float] = IMAGE_MEAN,
    std: Sequence[float] = IMAGE_STD,
) -> np.ndarray:
    """Resize, flip, shift, jitter colours or take them away, normalise and erase.

    Args:
        image: RGB image of any size.
        rng: source of all randomness.
        height: height of the result in pixels.
        width: width of the result in pixels.
        flip: probability of a horizontal flip.
        pad: the image is shifted by up to this many pixels in each direction; what enters is black.
        erasing: probability that a rectangle is erased.
        color_jitter: strength of the brightness, contrast and saturation jitter in [0, 1); 0 is off.
        grayscale: probability that the image loses its colours.
        mean: see `normalise`.
        std: see `normalise`.

    Returns:
        The image, (3, height, width) float32.

    Note:
        The released code has neither jitter nor grey images; where they are 0 no random number is drawn for them.
    """
    image = resize(image, height=height, width=width)
    if rng.random() < flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    top, left = (int(rng.integers(0, 2 * pad, endpoint=True)) for _ in range(2))
    image = pad_and_crop(image, pad=pad, top=top, left=left)
    if color_jitter > 0:
        factors = [float(rng.uniform(1 - color_jitter, 1 + color_jitter)) for _ in range(3)]
        image = adjust_colors(image, brightness=factors[0], contrast=factors[1], saturation=factors[2])
    if grayscale > 0 and rng.random() < grayscale:
        image = image.convert("L").convert("RGB")
    pixels = normalise(image, mean=mean, std=std)
    if rng.random() < erasing:
        pixels = erase(pixels, draw_rectangle(rng, height=height, width=width))
    return pixels


def eval_transform(
    image: Image.Image,
    *,
    height: int,
    width: int,
    mean: Sequence[float] = IMAGE_MEAN,
    std: Sequence[float] = IMAGE_STD,
) -> np.ndarray:
    """Resize and normalise.

    Args:
        image: RGB image of any size.
        height: height of the result in pixels.
        width: width of the result in pixels.
        mean: see `normalise`.
        std: see `normalise`.

    Returns:
        The image, (3, height, width) float32.
    """
    return normalise(resize(image, height=height, width=width), mean=mean, std=std)


def resize(image: Image.Image, *, height: int, width: int) -> Image.Image:
    """Resize with Pillow's bicubic filter, which smooths when it shrinks."""
    return image.resize((width, height), Image.Resampling.BICUBIC)


def pad_and_crop(image: Image.Image, *, pad: int, top: int, left: int) -> Image.Image:
    """Pad an image on all sides with black and cut a window of its own size out of the result.

    Args:
        image: RGB image.
        pad: pixels added on each side.
        top: upper edge of the window in the padded image, in [0, 2 * pad].
        left: left edge of the window, in [0, 2 * pad].

    Returns:
        An image of the same size.
    """
    x, y = left - pad, top - pad
    return image.crop((x, y, x + image.width, y + image.height))  # Pillow fills what lies outside with zeros


def adjust_colors(image: Image.Image, *, brightness: float, contrast: float, saturation: float) -> Image.Image:
    """Scale brightness, then contrast, then saturation; a factor of 1 changes nothing."""
    image = ImageEnhance.Brightness(image).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    return ImageEnhance.Color(image).enhance(saturation)


def normalise(
    image: Image.Image, *, mean: Sequence[float] = IMAGE_MEAN, std: Sequence[float] = IMAGE_STD
) -> np.ndarray:
    """Scale pixels to [0, 1], subtract a mean, divide by a standard deviation.

    Args:
        image: RGB image.
        mean: of red, green and blue; the default is ImageNet's.
        std: of red, green and blue; the default is ImageNet's.

    Returns:
        The image, (3, H, W) float32, contiguous.
    """
    # channels first from the start: arithmetic along a last axis of three numbers takes four times as long
    pixels = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C") / 255  # (3, H, W)
    return (pixels - of_channels(mean)) / of_channels(std)


def of_channels(numbers: Sequence[float]) -> np.ndarray:
    """Three numbers as float32 (3, 1, 1), for arithmetic with images (3, H, W)."""
    return np.asarray(numbers, np.float32).reshape(3, 1, 1)


def rectangle_sides(area: float, aspect: float) -> tuple[int, int]:
    """Height and width, in whole pixels, of a rectangle.

    Args:
        area: in pixels.
        aspect: height / width.

    Returns:
        Height and width.
    """
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def draw_rectangle(rng: np.random.Generator, *, height: int, width: int) -> Rectangle | None:
    """Draw the rectangle to erase.

    Area and aspect ratio are drawn uniformly until the rectangle is smaller than the image in both directions.

    Args:
        rng: source of randomness.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        The rectangle, or None when 100 attempts did not fit.

    Note:
        As in the released code the aspect ratio is uniform, not its logarithm, so upright rectangles prevail.
    """
    for _ in range(ERASE_ATTEMPTS):
        area = float(rng.uniform(*ERASE_AREA)) * height * width
        sides = rectangle_sides(area, float(rng.uniform(*ERASE_ASPECT)))
        if sides[0] < height and sides[1] < width:
            top = int(rng.integers(0, height - sides[0], endpoint=True))
            left = int(rng.integers(0, width - sides[1], endpoint=True))
            return Rectangle(top, left, *sides)
    return None


def erase(pixels: np.ndarray, rectangle: Rectangle | None) -> np.ndarray:
    """Fill a rectangle with constant values.

    Args:
        pixels: normalised image, (3, H, W).
        rectangle: what to fill; None leaves the image as it is.

    Returns:
        The image, a new array where something was filled.

    Note:
        The fill values are the ImageNet means, put in after normalisation as in the released code, whatever images are
        normalised by: not the colour of the mean image, which would be 0.
    """
    if rectangle is None:
        return pixels
    top, left, height, width = rectangle
    filled = pixels.copy()
    filled[:, top : top + height, left : left + width] = of_channels(IMAGE_MEAN)
    return filled
