"""Reading one image file safely; needs Pillow and numpy only, so that prediction can do without paddle."""

import os
import stat
import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from ppreid.base.errors import DataError, printable

MAX_PIXELS = 64_000_000  # a person crop has 10 to 500 thousand; an 8K frame has 33 million
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS  # of all scans of a progressive JPEG together; usual ones have about ten scans

# Pillow knows forty more, among them PostScript, for which it starts another program
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")

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
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise ValueError("it is a folder" if os.path.isdir(path) else "it is not a regular file")
        with Image.open(path, formats=FORMATS) as image:
            _check_size(image, path)
            return _to_rgb(image)
    except DECODE_ERRORS as error:
        raise DataError(f"cannot read image {printable(path)}: {_reason(error, path)}") from error


def _check_size(image: Image.Image, path: str) -> None:
    """Refuse an image that would take too much memory or time, before it is decoded."""
    pixels, size = image.width * image.height, f"{image.width} x {image.height} pixels"
    if pixels > MAX_PIXELS:
        raise ValueError(f"{size} are more than the limit of {MAX_PIXELS:,}")
    scans = _count_scans(path) if image.info.get("progressive") else 1
    if pixels * scans > MAX_SCANNED_PIXELS:
        raise ValueError(f"{size} in {scans:,} scans are more work than the limit of {MAX_SCANNED_PIXELS:,} pixels")


def _count_scans(path: str) -> int:
    """Marks of a scan's start in a JPEG file; a thumbnail's count as well."""
    count, before = 0, b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            count += (before + block).count(b"\xff\xda")
            before = block[-1:]
    return count


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


def _reason(error: Exception, path: str) -> str:
    match error:
        case FileNotFoundError() if os.path.islink(path):
            return f"it is a link to {printable(os.readlink(path))}, which does not exist"
        case FileNotFoundError():
            return "the file does not exist"
        case PermissionError():
            return "permission denied"
        case UnidentifiedImageError():
            return f"the file is empty or not an image of a known format ({', '.join(FORMATS)})"
    return " ".join(str(error).split()) or type(error).__name__
