"""Image files to arrays: reading one safely, a data set of them, and the search for damaged ones."""

import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
from PIL import Image, UnidentifiedImageError

from ppreid.errors import DataError
from ppreid.records import ImageRecord, ReIDSplit

MAX_PIXELS = 64_000_000  # a person crop has 10 to 500 thousand; an 8K frame has 33 million

# What Pillow's decoders raise for damaged files, beside OSError.
DECODE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


class ImageDataset(paddle.io.Dataset):
    """Images of one part of a data set, read and transformed when they are asked for."""

    def __init__(self, records: Sequence[ImageRecord], transform: Callable[..., np.ndarray], *, seed: int = 0) -> None:
        """Keep the records; nothing is read yet.

        Args:
            records: the images.
            transform: `transform(image)` for evaluation or `transform(image, rng)` for training, an array (3, H, W).
            seed: seed of the run. In distributed training every process needs its own.
        """
        super().__init__()
        self.records = tuple(records)
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        """Number of images."""
        return len(self.records)

    def __getitem__(self, key: int | tuple[int, int, int]) -> tuple[np.ndarray, int]:
        """Read and transform one image.

        Args:
            key: index of the record; or (index, epoch, draw) in training, where draw is the position among all
                images drawn in this epoch. Random numbers depend on (seed, epoch, draw) only, so they are the same
                whichever worker does the job.

        Returns:
            The image, (3, H, W) float32, and its index.

        Raises:
            DataError: the image cannot be read.
        """
        if isinstance(key, tuple):
            index, epoch, draw = key
            # draw + 1, because the loader draws its batches from (seed, epoch, 0)
            rng = np.random.default_rng([self.seed, epoch, draw + 1])
            return self.transform(load_image(self.records[index].path), rng), index
        return self.transform(load_image(self.records[key].path)), key


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


def find_unreadable(records: Sequence[ImageRecord], *, num_workers: int = 4) -> list[tuple[int, str]]:
    """Read every image once and report those that fail.

    Args:
        records: the images.
        num_workers: threads; decoding does not hold Python's lock.

    Returns:
        (index, message) of every image that cannot be read, in order.
    """
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        messages = pool.map(_read_error, (record.path for record in records))
        return [(index, message) for index, message in enumerate(messages) if message]


def without_unreadable(split: ReIDSplit, *, num_workers: int = 4) -> tuple[ReIDSplit, list[str]]:
    """Leave out the images that cannot be read, for the whole run; nothing takes their place.

    Args:
        split: data set.
        num_workers: threads.

    Returns:
        The rest of the data set, and one line for each image that was left out: part, path and reason.

    Raises:
        DataError: no image of a part can be read.
    """
    parts, reasons = [], []
    for name, records in split._asdict().items():
        unreadable = dict(find_unreadable(records, num_workers=num_workers))
        if records and len(unreadable) == len(records):
            raise DataError(f"all {len(records)} images of the {name} part are unreadable, e.g.: {unreadable[0]}")
        reasons += [f"{name}\t{reason}" for reason in unreadable.values()]
        parts.append(tuple(record for row, record in enumerate(records) if row not in unreadable))
    return ReIDSplit(*parts), reasons


def _read_error(path: str) -> str | None:
    try:
        load_image(path)
    except DataError as error:
        return str(error)
    return None


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
