"""Worker processes that read batches of images into memory shared with the main process.

The memory is anonymous: it has no name, needs no room in /dev/shm and is gone with the last process that holds it.
Pipes carry only keys and short answers. Batch n goes to worker n modulo their number, and each works in order: the main
process always knows whose answer it waits for.
"""

import mmap
import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize

import numpy as np

from ppreid.base.errors import DataError, printable
from ppreid.datasets.image_dataset import ImageDataset, Key
from ppreid.datasets.loader_worker import NOTHING, parent_to_die_with, ready_to_fork, run_worker

PREFETCH = 2  # batches of each worker that are finished or under way
_LOOK_SECONDS = 1.0  # between two looks at a worker that does not answer
_END_SECONDS = 5.0  # that the system may take to end a process


class WorkerPool:
    """Workers that read batches until they are closed or the main process is gone.

    Attributes:
        depth: batches that may be under way.
        batch_size: images that a batch may have.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        num_workers: int,
        batch_size: int,
        image_shape: tuple[int, int, int],
        timeout: float,
    ) -> None:
        """Start the workers.

        Args:
            dataset: the images.
            num_workers: processes, at least 1.
            batch_size: images of the largest batch, B.
            image_shape: of an image as the data set gives it, (3, H, W).
            timeout: seconds that a worker may spend on one image.

        Raises:
            DataError: the system has no memory or process left.
        """
        self.depth = PREFETCH * num_workers
        self.batch_size = batch_size
        self._records = dataset.records
        self._timeout = timeout
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        # a pool that nobody closed ends when it is collected, and before multiprocessing waits for its processes
        self._finalizer = Finalize(self, _end, (self._processes, self._connections), exitpriority=100)
        try:
            self._slots = _shared_zeros((num_workers, PREFETCH, batch_size, *image_shape), np.float32)
            self._notes = _shared_zeros((num_workers, 2), np.int64)  # record that is being read, images begun
            self._notes[:, 0] = NOTHING
            for worker in range(num_workers):
                self._start(worker, dataset)
        except OSError as error:
            raise DataError(
                f"cannot start {num_workers} loader workers for batches of {batch_size} images: {error.strerror}; "
                "lower data.num_workers or the batch size"
            ) from error

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self._processes if process.pid]

    def ask(self, number: int, keys: Sequence[Key]) -> None:
        """Let a batch be read.

        Args:
            number: of the batch, counted from 0. Batches are asked for in order, at most `depth` ahead of the answers.
            keys: of its images.

        Raises:
            DataError: the worker is dead.
        """
        worker, slot = self._place(number)
        try:
            self._connections[worker].send((slot, keys))
        except ConnectionError:
            raise DataError(self._death(worker)) from None

    def answer(self, number: int, size: int) -> np.ndarray:
        """Wait for a batch; answers are fetched in order, each once.

        Args:
            number: as it was asked for.
            size: images in it, B.

        Returns:
            The images (B, 3, H, W), shared memory that changes when batch `number + depth` is asked for.

        Raises:
            DataError: an image cannot be read, or the worker died or hangs.
            RuntimeError: anything unexpected in the worker, with its traceback.
        """
        worker, slot = self._place(number)
        self._wait(worker)
        try:
            problem, text = self._connections[worker].recv()
        except (EOFError, ConnectionError):
            raise DataError(self._death(worker)) from None
        if problem:
            raise problem(text)
        return self._slots[worker, slot, :size]

    def close(self) -> None:
        """End the workers at once; they hold nothing that could be lost."""
        self._finalizer()

    def _start(self, worker: int, dataset: ImageDataset) -> None:
        fork = multiprocessing.get_context("fork")
        ours, theirs = fork.Pipe()
        self._connections.append(ours)
        shared = (self._slots[worker], self._notes[worker], parent_to_die_with())
        process = fork.Process(target=run_worker, args=(dataset, theirs, self._connections, *shared), daemon=True)
        with theirs, ready_to_fork():
            process.start()
            self._processes.append(process)

    def _place(self, number: int) -> tuple[int, int]:
        """Worker and slot of a batch."""
        return number % len(self._processes), number // len(self._processes) % PREFETCH

    def _wait(self, worker: int) -> None:
        """Wait until a worker answers or dies; raise when it has begun no image for too long."""
        look = min(_LOOK_SECONDS, self._timeout)
        begun, idle = self._notes[worker, 1], 0.0
        while not self._connections[worker].poll(look):
            # looks are counted, because clocks go on while Ctrl-Z stops all processes
            idle = idle + look if begun == self._notes[worker, 1] else 0.0
            begun = self._notes[worker, 1]
            if idle >= self._timeout:
                raise DataError(
                    f"loader worker {self._processes[worker].pid} {self._doing(worker)} and gave no sign of life for "
                    f"{self._timeout:g} seconds; is the disk or network that holds the images alive? If it is only "
                    "slow, raise data.worker_timeout; with data.num_workers=0 images are read without workers"
                )

    def _death(self, worker: int) -> str:
        process = self._processes[worker]
        process.join(_END_SECONDS)
        code = process.exitcode
        fate = f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
        return (
            f"loader worker {process.pid} {self._doing(worker)} and {fate}; if memory ran out, lower data.num_workers; "
            "if the file is at fault, data.num_workers=0 shows how"
        )

    def _doing(self, worker: int) -> str:
        index = self._notes[worker, 0]
        return "waited for work" if index == NOTHING else f"was reading {printable(self._records[index].path)}"


def _shared_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array that this process shares with those that it forks from now on."""
    memory = mmap.mmap(-1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype).reshape(shape)


def _end(processes: list[BaseProcess], connections: list[Connection]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.join(_END_SECONDS)
    for connection in connections:
        connection.close()
