"""Workers that die, hang, fail or outlive what they were started for."""

import gc
import multiprocessing
import os
import re
import signal
import threading

import numpy as np
import pytest

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.datasets.batch_reader import BatchReader, memory_under_way
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.worker_pool import WorkerPool

SHAPE = (3, 16, 8)  # of the images of the fixture
TEST_PROCESS = os.getpid()


def to_array(image):
    return np.asarray(image, np.float32).transpose(2, 0, 1)


def reader(records, transform=to_array, *, num_workers=1, worker_timeout=300.0):
    dataset = ImageDataset(records, transform)
    return BatchReader(dataset, image_shape=SHAPE, num_workers=num_workers, worker_timeout=worker_timeout)


def batches_of(size):
    return [range(start, start + size) for start in range(0, 24, size)]


def at_image(index, action):
    """A transform that does something in a worker when it has read this image."""

    def transform(image):
        if os.getpid() != TEST_PROCESS and image.getpixel((0, 0))[0] == 10 * index:
            action()
        return to_array(image)

    return transform


def assert_gone(pid):
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("action", "fate"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was ended by SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "was ended by SIGSEGV"),
        (lambda: os._exit(7), "ended with exit code 7"),
    ],
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_worker_that_dies_is_named_with_its_file_and_fate(image_records, action, fate, num_workers):
    batches = reader(image_records, at_image(14, action), num_workers=num_workers).read(batches_of(6))
    assert len([next(batches), next(batches)]) == 2  # those before it
    with pytest.raises(DataError) as caught:
        list(batches)
    found = re.fullmatch(r"loader worker (\d+) was reading (.*) and (.*); if memory ran out, .*", str(caught.value))
    assert found and found[2] == image_records[14].path and found[3] == fate
    assert "data.num_workers=0" in str(caught.value)
    assert_gone(int(found[1]))


def test_a_worker_that_is_killed_while_it_waits_is_named(image_records):
    source = reader(image_records)
    list(source.read(batches_of(6)))
    (pid,) = source._pool.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(DataError, match=f"loader worker {pid} waited for work and was ended by SIGKILL"):
        list(source.read(batches_of(6)))
    assert len(list(source.read(batches_of(6)))) == 4  # by a new one
    source.close()


def test_a_worker_that_hangs_is_named_with_its_file_and_ended(image_records):
    stopped = at_image(14, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    batches = reader(image_records, stopped, num_workers=2, worker_timeout=4).read(batches_of(6))
    with pytest.raises(DataError) as caught:
        list(batches)
    found = re.match(r"loader worker (\d+) was reading (.*) and gave no sign of life for 4 seconds", str(caught.value))
    assert found and found[2] == image_records[14].path
    assert "data.worker_timeout" in str(caught.value) and "data.num_workers=0" in str(caught.value)
    assert_gone(int(found[1]))


def test_a_slow_worker_that_goes_on_does_not_hang(image_records):
    pool = WorkerPool(ImageDataset(image_records, to_array), num_workers=1, batch_size=6, image_shape=SHAPE, timeout=2)
    connection, looks = pool._connections[0], []

    class Slow:
        """Answers after twenty looks; the worker begins an image before every second one."""

        def poll(self, seconds):
            looks.append(seconds)
            pool._notes[0, 1] += len(looks) % 2
            return len(looks) > 20

    pool._connections[0] = Slow()
    pool._wait(0)
    assert looks == [1.0] * 21
    pool._connections[0] = connection
    pool.close()


def test_signals_to_stop_do_not_reach_the_workers(image_records):
    def signals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    images = [images.numpy() for images, _ in reader(image_records, at_image(3, signals)).read(batches_of(6))]
    np.testing.assert_array_equal(np.concatenate(images)[:, 0, 0, 0], 10 * np.arange(24))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGTERM, signal.SIGINT}


@pytest.mark.parametrize(("num_workers", "error"), [(0, KeyError), (1, RuntimeError)])
def test_an_unexpected_error_shows_itself(image_records, num_workers, error):
    def broken(image):
        raise KeyError("a bug in a transform")

    with pytest.raises(error, match="a bug in a transform") as caught:
        list(reader(image_records, broken, num_workers=num_workers).read(batches_of(6)))
    assert num_workers == 0 or 'in broken\n    raise KeyError("a bug in a transform")' in str(caught.value)


@pytest.mark.parametrize(("num_workers", "error"), [(0, ValueError), (1, RuntimeError)])
def test_images_of_another_shape_are_not_squeezed_in(image_records, num_workers, error):
    with pytest.raises(error, match=r"shape \(3, 16, 1\) instead of \(3, 16, 8\)"):
        narrow = reader(image_records, lambda image: to_array(image)[:, :, :1], num_workers=num_workers)
        list(narrow.read(batches_of(6)))


def test_batches_stay_as_they_are_while_the_workers_read_on(image_records):
    source = reader(image_records)
    batches = list(source.read(batches_of(1)))  # 24 through two slots
    np.testing.assert_array_equal([images.numpy()[0, 0, 0, 0] for images, _ in batches], 10 * np.arange(24))
    source.close()


def test_larger_batches_than_before_get_larger_slots(image_records):
    source = reader(image_records, num_workers=2)
    for size in (2, 6, 3):
        images = np.concatenate([images.numpy() for images, _ in source.read(batches_of(size))])
        np.testing.assert_array_equal(images[:, 2, 5, 5], 10 * np.arange(24))
        assert source._pool.batch_size == max(size, 2 if size == 2 else 6)
    source.close()


def test_a_pass_may_go_on_after_the_thread_that_began_it(image_records):
    source, first = reader(image_records, num_workers=2), []
    batches = source.read(batches_of(6))
    thread = threading.Thread(target=lambda: first.append(next(batches)))
    thread.start()
    thread.join()
    assert len(first + list(batches)) == 4
    source.close()


def test_a_pool_that_nobody_closed_ends_when_it_is_collected(image_records):
    pool = WorkerPool(ImageDataset(image_records, to_array), num_workers=2, batch_size=6, image_shape=SHAPE, timeout=9)
    pids = pool.pids
    del pool
    gc.collect()
    for pid in pids:
        assert_gone(pid)


def test_workers_do_not_collect_the_garbage_of_the_main_process(image_records):
    source = reader(image_records, lambda image: np.full(SHAPE, gc.get_freeze_count(), np.float32))
    images, _ = next(source.read(batches_of(6)))
    assert images.numpy().min() > 10_000
    assert gc.get_freeze_count() == 0
    source.close()


def test_memory_that_is_not_there_is_an_error_of_one_line(image_records):
    dataset = ImageDataset(image_records, to_array)
    with pytest.raises(DataError, match=r"cannot start 2 loader workers .*: Cannot allocate memory; lower data.num_w"):
        WorkerPool(dataset, num_workers=2, batch_size=2**40, image_shape=SHAPE, timeout=300)


def test_without_fork_images_are_read_here_and_that_is_said(image_records, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.warns(PpreidWarning, match="workers need fork"):
        source = reader(image_records, num_workers=2)
    assert len(list(source.read(batches_of(6)))) == 4 and source._pool is None


def test_the_memory_under_way_is_that_of_the_slots(image_records):
    pool = WorkerPool(ImageDataset(image_records, to_array), num_workers=3, batch_size=5, image_shape=SHAPE, timeout=9)
    assert memory_under_way(num_workers=3, batch_bytes=5 * 3 * 16 * 8 * 4) == pool._slots.nbytes
    assert memory_under_way(num_workers=0, batch_bytes=10**9) == 0
    pool.close()
