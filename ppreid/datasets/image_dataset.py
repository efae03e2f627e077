"""A data set of image files, and the search for damaged ones."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.datasets.image_file import load_image

Key = int | tuple[int, int, int]  # of an image, see ImageDataset


class ImageDataset:
    """Images of one part of a data set, read and transformed when they are asked for."""

    def __init__(
        self,
        records: Sequence[ImageRecord],
        transform: Callable[..., np.ndarray],
        *,
        seed: int = 0,
        held: Mapping[int, Any] | None = None,
    ) -> None:
        """Keep the records; nothing is read yet.

        Args:
            records: the images.
            transform: `transform(image)` for evaluation or `transform(image, rng)` for training, an array (3, H, W).
            seed: seed of the run, the same in all of its processes, which draw different images of a batch.
            held: images that are in memory and not in the files of their records, by index; RGB, or whatever else
                `transform` takes.
        """
        self.records = tuple(records)
        self.transform = transform
        self.seed = seed
        self.held = held or {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.records)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, int]:
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
            return self.transform(self._image(index), rng), index
        return self.transform(self._image(key)), key

    def _image(self, index: int) -> Any:  # noqa: ANN401 - what `transform` takes
        return self.held[index] if index in self.held else load_image(self.records[index].path)


def index_of(key: Key) -> int:
    """The record that a key of a data set means."""
    return key[0] if isinstance(key, tuple) else key


def read_images(
    dataset: ImageDataset, keys: Sequence[Key], images: np.ndarray, *, begin: Callable[[int], None] = lambda index: None
) -> None:
    """Read a batch.

    Args:
        dataset: where from.
        keys: of the images, (B,).
        images: where to, (B, 3, H, W) float32.
        begin: told the index of each image before it is read.

    Raises:
        DataError: an image cannot be read.
        ValueError: an image has another shape than there is room for.
    """
    for row, key in enumerate(keys):
        begin(index_of(key))
        try:
            image, _ = dataset[key]
        except DataError as error:
            raise DataError(f"{error}; repair or remove the file, or set data.on_bad_image: skip") from error
        if image.shape != images.shape[1:]:
            raise ValueError(f"the transform gave an image of shape {image.shape} instead of {images.shape[1:]}")
        images[row] = image


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
