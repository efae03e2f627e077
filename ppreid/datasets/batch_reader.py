"""Batches of images, from worker processes or read in place.

The workers receive keys and give images. Pseudo labels never leave the main process, so the workers of training stay
alive while the labels change from epoch to epoch.
"""

import multiprocessing
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import paddle

from ppreid.base.errors import PpreidWarning
from ppreid.datasets.image_dataset import ImageDataset, Key, index_of, read_images

if TYPE_CHECKING:
    from ppreid.datasets.worker_pool import WorkerPool

Batch = tuple[paddle.Tensor, np.ndarray]  # images (B, 3, H, W), indices (B,) int64 on the host
Keys = Sequence[Key]  # of one batch


class BatchReader:
    """Reads given batches, with worker processes that stay alive between calls."""

    def __init__(
        self, dataset: ImageDataset, *, image_shape: tuple[int, int, int], num_workers: int, worker_timeout: float
    ) -> None:
        """Keep the settings; workers start with the first `read`.

        Args:
            dataset: the images.
            image_shape: of an image as the data set gives it, (3, H, W).
            num_workers: worker processes; 0 reads in the calling process.
            worker_timeout: seconds without a sign of life after which a worker counts as hanging.
        """
        if num_workers and "fork" not in multiprocessing.get_all_start_methods():
            text = "loader workers need fork, which this system lacks; images are read in the main process"
            warnings.warn(text, PpreidWarning, stacklevel=2)
            num_workers = 0
        self._dataset = dataset
        self._image_shape = image_shape
        self._num_workers = num_workers
        self._timeout = worker_timeout
        self._pool: WorkerPool | None = None
        self._pass: object = None  # the one that is under way

    def read(self, batches: Sequence[Keys]) -> Iterator[Batch]:
        """Read batches in order.

        Args:
            batches: keys of the images of each batch.

        Yields:
            Images (B, 3, H, W) and their indices (B,).

        Raises:
            DataError: an image cannot be read, or a worker died or hangs.
        """
        all_images = self.read_here(batches) if self._num_workers == 0 else self._read_by_workers(batches)
        for keys, images in zip(batches, all_images, strict=True):
            yield images, np.array([index_of(key) for key in keys], np.int64)

    def close(self) -> None:
        """End the workers; the next pass would start new ones."""
        if self._pool:
            self._pool.close()
        self._pool = self._pass = None

    def read_here(self, batches: Sequence[Keys]) -> Iterator[paddle.Tensor]:
        """Images (B, 3, H, W) of each batch, without workers."""
        for keys in batches:
            images = np.empty((len(keys), *self._image_shape), np.float32)
            read_images(self._dataset, keys, images)
            yield paddle.to_tensor(images)

    def _read_by_workers(self, batches: Sequence[Keys]) -> Iterator[paddle.Tensor]:
        if not batches:
            return
        pool = self._ready_pool(max(map(len, batches)))
        this_pass = self._pass = object()
        try:
            for number, keys in enumerate(batches[: pool.depth]):
                pool.ask(number, keys)
            for number, keys in enumerate(batches):
                images = paddle.to_tensor(pool.answer(number, len(keys)))  # a copy: the slot is written again
                if number + pool.depth < len(batches):
                    pool.ask(number + pool.depth, batches[number + pool.depth])
                if number + 1 == len(batches):
                    self._pass = None
                yield images
        finally:
            if self._pass is this_pass:  # broken off: answers are still under way
                self.close()

    def _ready_pool(self, batch_size: int) -> "WorkerPool":
        """Workers that have nothing to do, and room for batches of this size."""
        if self._pool and (self._pass or batch_size > self._pool.batch_size):
            self.close()
        if self._pool is None:
            from ppreid.datasets.worker_pool import WorkerPool

            self._pool = WorkerPool(
                self._dataset,
                num_workers=self._num_workers,
                batch_size=batch_size,
                image_shape=self._image_shape,
                timeout=self._timeout,
            )
        return self._pool


def memory_under_way(*, num_workers: int, batch_bytes: int) -> int:
    """Bytes of memory that a reader's batches may take at a time, beside those that the caller holds."""
    from ppreid.datasets.worker_pool import PREFETCH

    return PREFETCH * num_workers * batch_bytes
