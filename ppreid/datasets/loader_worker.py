"""What a worker process of the loader does, from its start by fork to its end."""

import ctypes
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from ppreid.base.errors import SIGNALS, DataError
from ppreid.datasets.image_dataset import ImageDataset, Key, read_images

NOTHING = -1  # in the notes of a worker: it reads no image now
_PR_SET_PDEATHSIG = 1  # of Linux's prctl

Answer = tuple[type[Exception] | None, str]  # what the main process is to raise, if anything, and its text


@contextmanager
def ready_to_fork() -> Iterator[None]:
    """Fork workers in this block, with signals to stop blocked for good and the objects of now left alone.

    The main process decides when workers end: a signal to the whole group must not take them from the step that is to
    be finished. And a worker that collects a network or another loader of the main process would wait for threads that
    it does not have.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def parent_to_die_with() -> int:
    """This process, if the system can end a worker together with it, otherwise 0.

    Linux ends a worker with the thread that forked it, so that must be the one that lives as long as the process.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return os.getpid() if is_main and sys.platform == "linux" else 0


def run_worker(
    dataset: ImageDataset,
    connection: Connection,
    inherited: Sequence[Connection],
    slots: np.ndarray,
    note: np.ndarray,
    parent: int,
) -> None:
    """Read batches until the main process is gone. Pillow and numpy do the work; paddle does not survive a fork.

    Args:
        dataset: the images.
        connection: gives pairs of slot and keys, takes an `Answer` to each.
        inherited: connections of the main process, which stay open as long as anybody holds them.
        slots: shared memory for batches, (slots, B, 3, H, W).
        note: shared memory for the record that is being read and the number of images begun, (2,).
        parent: see `parent_to_die_with`.
    """
    for other in inherited:
        other.close()
    if parent:  # the pipe tells as well, but not a worker that hangs
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return

    def begin(index: int) -> None:
        note[:] = index, note[1] + 1

    while True:
        try:
            slot, keys = connection.recv()
            answer = _read(dataset, keys, slots[slot], begin)
            note[0] = NOTHING
            connection.send(answer)
        except (EOFError, ConnectionError):
            return


def _read(dataset: ImageDataset, keys: Sequence[Key], images: np.ndarray, begin: Callable[[int], None]) -> Answer:
    """Fill a slot (B, 3, H, W)."""
    try:
        read_images(dataset, keys, images[: len(keys)], begin=begin)
    except DataError as error:
        return DataError, str(error)
    except Exception:  # noqa: BLE001 - whatever it is, the main process raises it
        return RuntimeError, f"in a worker of the loader:\n{traceback.format_exc()}"
    return None, ""
