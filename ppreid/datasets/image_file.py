"""Reading one image file safely; needs Pillow and numpy only, so that prediction can do without paddle."""

import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from ppreid.errors import DataError

MAX_PIXELS = 64_000_000  # a person crop has 10 to 500 thousand; an 8K frame has 33 million

# What Pillow's decoders raise for damaged files, beside OSError.
DECODE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


def load_image(path: str) -> Image.Image:
    """Read an image file as 8-bit RGB.

    Grey, palette and CMYK images are converted, an alpha channel is dropped, 16-bit images are scaled, and of an
    animation the first frame is taken.

    Args:
        path: the file.

    Returns:
        The image, mode RGB.

    Raises:
        DataError: the file cannot be read, with path and reason in one line.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than the limit of {MAX_PIXELS:,}")
            return _to_rgb(image)
    except DECODE_ERRORS as error:
        raise DataError(f"cannot read image {path}: {_reason(error)}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # "I;16" and, in other versions of Pillow or file formats, "I"
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("integer pixels outside of 0..65535; save it with 8 or 16 bits per channel")
        # Pillow's own conversion clips to 255, which turns nearly every 16-bit image white.
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels without a known range; save it with 8 or 16 bits per channel")
    elif image.mode == "P":
        image = image.convert("RGBA")  # palettes may have transparent entries, which "RGB" warns about
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "the file does not exist"
        case IsADirectoryError():
            return "it is a folder"
        case PermissionError():
            return "permission denied"
        case UnidentifiedImageError():
            return "the file is empty or not an image of a known format"
    return " ".join(str(error).split()) or type(error).__name__
