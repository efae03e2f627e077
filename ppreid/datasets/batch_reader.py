"""Batches of images from worker processes.

The workers receive keys and send images. Pseudo labels never leave the main process, so the workers of training stay
alive while the labels change from epoch to epoch.
"""

import gc
import os
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import paddle

from ppreid.datasets.image_dataset import ImageDataset
from ppreid.errors import DataError, PpreidWarning

PREFETCH_FACTOR = 2  # batches that each worker prepares in advance
_HELD_BATCHES = 3  # two in paddle's reader buffer, one in the hands of the caller

Batch = tuple[paddle.Tensor, np.ndarray]  # images (B, 3, H, W), indices (B,) int64 on the host
Keys = Sequence[int] | Sequence[tuple[int, int, int]]  # of one batch, see ImageDataset


class BatchReader:
    """Reads given batches with worker processes that stay alive between calls."""

    def __init__(self, dataset: ImageDataset, *, num_workers: int, use_shared_memory: bool) -> None:
        """Keep the settings; workers start with the first `read`.

        Args:
            dataset: the images.
            num_workers: worker processes; 0 reads in the calling process.
            use_shared_memory: hand images over in shared memory, where there is room for them.
        """
        self._batch_dataset = _BatchDataset(dataset)
        self._num_workers = num_workers
        self._use_shared_memory = use_shared_memory
        self._sampler = _GivenBatches()
        self._loader: paddle.io.DataLoader | None = None
        self._idle = True  # no pass is under way

    def read(self, batches: Sequence[Keys]) -> Iterator[Batch]:
        """Read batches in order.

        Args:
            batches: keys of the images of each batch.

        Yields:
            Images (B, 3, H, W) and their indices (B,).

        Raises:
            DataError: an image cannot be read, or a worker failed.
        """
        if self._num_workers == 0:  # not paddle's loader: it would wait for ever after an exception in its thread
            for keys in batches:
                images, indices, problem = self._batch_dataset[keys]
                yield _checked(paddle.to_tensor(images), indices, problem)
            return
        if not batches:
            return
        if not self._idle:
            self.close()
        self._sampler.batches = batches
        if self._loader is None:
            self._loader = self._start(batches[0])
        self._idle = False
        loader = self._loader
        try:
            with _worker_failure_explained(), _garbage_left_to_this_process():
                iterator = iter(loader)
            for _ in batches:
                with _worker_failure_explained():
                    images, indices, problem = next(iterator)
                yield _checked(images, indices, problem)
            self._idle = True
        finally:
            # paddle's workers cannot be reused after a pass that was broken off: batches of it are still under way
            if not self._idle and self._loader is loader:
                self.close()

    def close(self) -> None:
        """End the workers."""
        iterator = self._loader._iterator if self._loader else None
        if iterator is not None:
            # paddle offers no public way, and its reader thread keeps the iterator from being collected
            iterator._try_shutdown_all()
        self._loader = None
        self._idle = True

    def _start(self, first_batch: Keys) -> paddle.io.DataLoader:
        shared = self._use_shared_memory and self._enough_shared_memory(first_batch)
        return paddle.io.DataLoader(
            self._batch_dataset,
            batch_sampler=self._sampler,
            collate_fn=_only_item,
            worker_init_fn=partial(_end_with_parent, os.getpid()),
            num_workers=self._num_workers,
            prefetch_factor=PREFETCH_FACTOR,
            use_shared_memory=shared,
            persistent_workers=True,
        )

    def _enough_shared_memory(self, first_batch: Keys) -> bool:
        images, _, _ = self._batch_dataset[first_batch[:1]]  # an unreadable image is reported by the worker, later
        needed = shared_memory_needed(num_workers=self._num_workers, batch_bytes=len(first_batch) * images.nbytes)
        fits = shared_memory_fits(needed)
        if not fits:
            warnings.warn(
                f"/dev/shm has no room for the {needed / 1e6:,.0f} MB of {self._num_workers} loader workers; loading "
                "goes on without shared memory, which is slower (in Docker, --shm-size gives more)",
                PpreidWarning,
                stacklevel=3,
            )
        return fits


def shared_memory_needed(*, num_workers: int, batch_bytes: int) -> int:
    """Bytes of shared memory that a reader's batches may take at a time."""
    return (PREFETCH_FACTOR * num_workers + _HELD_BATCHES) * batch_bytes


def shared_memory_fits(bytes_needed: int, folder: str = "/dev/shm") -> bool:
    """Whether the shared-memory file system has room.

    Args:
        bytes_needed: room that is needed.
        folder: where it is mounted.

    Returns:
        False also when there is no such folder.
    """
    try:
        status = os.statvfs(folder)
    except FileNotFoundError:
        return False
    return bytes_needed <= status.f_bavail * status.f_frsize


class _BatchDataset(paddle.io.Dataset):
    """Whole batches as items, so that an unreadable image can be reported as a value.

    An exception raised in a worker would end paddle's reader thread, and the caller would see that instead.
    """

    def __init__(self, dataset: ImageDataset) -> None:
        super().__init__()
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, keys: Keys) -> list:
        try:
            samples = [self.dataset[key] for key in keys]
        except DataError as error:
            return [np.zeros(1, np.float32), [], str(error)]
        return [np.stack([image for image, _ in samples]), [index for _, index in samples], ""]


class _GivenBatches:
    """Batch sampler that paddle's loader reads anew at the start of every pass."""

    def __init__(self) -> None:
        self.batches: Sequence[Keys] = ()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Keys]]:
        return ([keys] for keys in self.batches)


def _end_with_parent(parent: int, worker: int) -> None:
    # paddle's own check waits for the next keys, which never come when the parent was killed
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        paddle.base.core._cleanup_mmap_fds()  # images in shared memory that nobody will fetch
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _only_item(items: list) -> list:
    return items[0]


@contextmanager
def _garbage_left_to_this_process() -> Iterator[None]:
    # A forked worker that collects the reader of an earlier pass waits for ever for threads that it does not have.
    # What is frozen while it is forked stays out of its collections.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _worker_failure_explained() -> Iterator[None]:
    try:
        yield
    except (SystemError, RuntimeError) as error:  # what paddle raises when a worker died or failed
        raise DataError(
            "a worker process of the loader died or failed; the lines above may say why. The usual causes are too "
            "little memory or shared memory: lower data.num_workers. With data.num_workers: 0 an error shows itself"
        ) from error


def _checked(images: paddle.Tensor, indices: list[int], problem: str) -> Batch:
    if problem:
        raise DataError(f"{problem}; repair or remove the file, or set data.on_bad_image: skip")
    return images, np.array(indices, np.int64)
