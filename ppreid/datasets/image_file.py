"""Reading one image file safely; needs Pillow and numpy only, so that prediction can do without paddle."""

import errno
import io
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from ppreid.base.errors import DataError, printable

MAX_PIXELS = 64_000_000  # a person crop has 10 to 500 thousand; an 8K frame has 33 million
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS  # of all scans of a progressive JPEG together; usual ones have about ten scans

# Pillow knows forty more, among them PostScript, for which it starts another program
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")

# What Pillow's decoders raise for damaged files, beside OSError.
_OF_ITS_OWN = (struct.error, zlib.error, Image.DecompressionBombError)
DECODE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, MemoryError, OverflowError, *_OF_ITS_OWN)

_ORIENTATION = 0x0112  # of EXIF: how the camera was held
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LONGEST = 400  # letters of a path that a message shows

Source = str | os.PathLike[str] | Image.Image | np.ndarray  # where an image is: in a file, or in memory


def load_image(path: str) -> Image.Image:
    """Read an image file as 8-bit RGB, upright.

    Grey, palette and CMYK images are converted, an alpha channel is dropped, 16-bit images are scaled, and of an
    animation the first frame is taken. Pixels that are turned or mirrored by EXIF data are turned back, as every viewer
    shows them; the crops of the published data sets have no such data.

    Args:
        path: the file.

    Returns:
        The image, mode RGB.

    Raises:
        DataError: the file cannot be read, with path and reason in one line.
    """
    with open_image(path) as image:
        return _upright(image)


def named_images(images: Source | Iterable[Source]) -> tuple[list[str], dict[int, Image.Image]]:
    """Names of images, and the images themselves where they are in memory and not in files.

    Args:
        images: one or several. Of a file its path; an image of Pillow, which is taken as `load_image` would take its
            file, EXIF data included; or an array (H, W, 3) uint8, RGB and upright. (N, H, W, 3) are several.

    Returns:
        The paths, and "image 3" for one in memory (from 0); RGB images by their place in that list.

    Raises:
        DataError: an image in memory is of another kind; nothing is said of files.
    """
    is_one = isinstance(images, str | os.PathLike | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4)
    names, held = [], {}
    for number, image in enumerate([images] if is_one else images):  # type: ignore[arg-type]
        if isinstance(image, str | os.PathLike):
            names.append(os.fspath(image))
        else:
            names.append(f"image {number}")
            held[number] = _in_memory(image, names[-1])
    return names, held


def _in_memory(image: object, name: str) -> Image.Image:
    """An image of Pillow or an array as 8-bit RGB, upright."""
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            found = f"an array of {image.dtype}, {image.shape}"
            raise DataError(f"{name} is {found}; give RGB as uint8 of shape (height, width, 3)")
        return Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image):
        raise DataError(f"{name} is a {type(image).__name__}; give a path, an image of Pillow or a numpy array")
    try:
        return Image.fromarray(np.array(_upright(image)))  # without EXIF data: they would turn it once more
    except DECODE_ERRORS as error:
        raise DataError(f"cannot read {name}: {printable(_reason(error, name))}") from error


@contextmanager
def open_image(path: str) -> Iterator[Image.Image]:
    """An image file as Pillow's lazy object, for those who want to know more of it than its pixels.

    Args:
        path: the file.

    Yields:
        The image, not decoded yet, and not too large to be.

    Raises:
        DataError: it cannot be read, here or inside the block, with path and reason in one line.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise ValueError("it is a folder" if os.path.isdir(path) else "it is not a regular file")
        with _WithinFile(io.FileIO(path)) as file, Image.open(file, formats=FORMATS) as image:
            _check_size(image, path)
            yield image
    except DECODE_ERRORS as error:
        shown = path if len(path) <= _LONGEST else f"{path[:_LONGEST]}... ({len(path):,} letters)"
        raise DataError(f"cannot read image {printable(shown)}: {printable(_reason(error, path))}") from error


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What makes the pixels of an image upright, by its EXIF data; None where nothing does.

    Damaged data say nothing: they surround the pixels, which may be whole.
    """
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except (*DECODE_ERRORS, TypeError, KeyError):
        return None


class _WithinFile(io.BufferedReader):
    """A file of which never more is asked for than it holds: Python makes room for what a damaged length says."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """As for any file."""
        return super().read(size if size is None else min(size, self._size))


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


def _upright(image: Image.Image) -> Image.Image:
    """As 8-bit RGB, turned as its EXIF data say."""
    upright = _to_rgb(image)
    turn = turn_of(image)
    return upright if turn is None else upright.transpose(turn)


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
        case OSError() if error.errno == errno.ENAMETOOLONG:
            return "its name is longer than this system allows"
        case ValueError() if "\0" in path:
            return "its name has a NUL byte, which no file can have"
        case MemoryError():
            return "decoding it takes more memory than there is"
        case UnidentifiedImageError():
            return f"the file is empty or not an image of a known format ({', '.join(FORMATS)})"
    return " ".join(str(error).split()) or type(error).__name__
