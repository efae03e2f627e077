import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from ppreid.base.errors import ClusteringError, ConfigError, DataError
from ppreid.base.records import ImageRecord
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.loader import TrainLoader, eval_loader

LABELS = np.repeat(np.arange(6), 4)  # of the 24 images of the fixture
SHAPE = (3, 16, 8)  # of each


def to_array(image):
    return np.asarray(image, np.float32).transpose(2, 0, 1)


def to_array_with_noise(image, rng):
    return to_array(image) + rng.random(dtype=np.float32)


def to_array_with_process(image, rng):
    return np.full(SHAPE, os.getpid(), np.float32)


def train_loader(records, transform=to_array_with_noise, **changes):
    settings = {"identities": 3, "images": 4, "num_batches": 5, "image_shape": SHAPE, "num_workers": 2, **changes}
    return TrainLoader(ImageDataset(records, transform, seed=1), **settings)


def collect(batches):
    """All images and indices of some batches as arrays, read to the end."""
    images, indices = zip(*((image.numpy(), index) for image, index in batches), strict=True)
    return np.concatenate(images), np.concatenate(indices)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_evaluation_loader_gives_every_image_once_in_order(image_records, num_workers):
    loader = eval_loader(
        ImageDataset(image_records, to_array), batch_size=7, image_shape=SHAPE, num_workers=num_workers
    )
    assert len(loader) == 4
    for _ in range(2):
        batches = list(loader)
        assert [image.shape[0] for image, _ in batches] == [7, 7, 7, 3]
        images, indices = collect(batches)
        np.testing.assert_array_equal(indices, np.arange(24))
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(images[:, 0, 0, 0], 10 * indices)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_any_images_can_be_asked_for_while_a_pass_is_under_way(num_workers, image_records):
    dataset = ImageDataset(image_records, to_array)
    loader = eval_loader(dataset, batch_size=4, image_shape=SHAPE, rows=range(8, 20), num_workers=num_workers)
    seen = []
    for _, rows in loader:
        found = loader.images_of([23, 0, 9])
        np.testing.assert_array_equal(found[:, 0, 0, 0], [230, 0, 90])
        assert tuple(found.shape) == (3, *SHAPE)
        seen += rows.tolist()
    assert seen == list(range(8, 20))


def test_an_epoch_does_not_depend_on_the_workers(image_records):
    reference = None
    for num_workers in (0, 1, 3):
        loader = train_loader(image_records, num_workers=num_workers)
        epochs = [collect(loader.epoch(LABELS, epoch)) for epoch in range(2)]
        loader.close()
        if reference:
            for (images, indices), (other_images, other_indices) in zip(reference, epochs, strict=True):
                np.testing.assert_array_equal(indices, other_indices)
                np.testing.assert_array_equal(images, other_images)
        reference = epochs
    (first_images, first), (_, second) = reference
    assert first.shape == (60,) and (first != second).any()
    noise = first_images[:, 0, 0, 0] - 10 * first
    assert len(np.unique(noise.round(5))) == 60  # every draw has its own random numbers


def test_batches_follow_the_labels_of_their_epoch(image_records):
    loader = train_loader(image_records)
    for epoch in range(3):
        labels = np.random.default_rng(epoch).permutation(LABELS)
        labels[epoch] = -1
        for _, indices in loader.epoch(labels, epoch):
            blocks = labels[indices].reshape(3, 4)
            assert (blocks == blocks[:, :1]).all() and (blocks >= 0).all()
            assert len(set(blocks[:, 0].tolist())) == 3
    loader.close()


def test_workers_stay_alive_between_epochs_and_end_on_close(image_records):
    loader = train_loader(image_records, to_array_with_process, num_batches=8)
    processes = [set(collect(loader.epoch(LABELS, epoch))[0].ravel().astype(int).tolist()) for epoch in range(3)]
    assert len(processes[0]) == 2 and processes[0] == processes[1] == processes[2] and os.getpid() not in processes[0]
    loader.close()
    for process in processes[0]:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    again = set(collect(loader.epoch(LABELS, 3))[0].ravel().astype(int).tolist())
    assert len(again) == 2 and not again & processes[0]
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resuming_skips_batches_without_changing_the_rest(image_records, num_workers):
    loader = train_loader(image_records, num_workers=num_workers)
    images, indices = collect(loader.epoch(LABELS, 4))
    rest_images, rest = collect(loader.epoch(LABELS, 4, start_batch=3))
    np.testing.assert_array_equal(rest, indices[36:])
    np.testing.assert_array_equal(rest_images, images[36:])
    assert list(loader.epoch(LABELS, 4, start_batch=5)) == []
    loader.close()


def test_skipped_batches_are_not_read(image_records):
    loader = train_loader(image_records, num_workers=0)
    expected = [indices for _, indices in loader.epoch(LABELS, 0)]
    for index in set(expected[0]) - set(expected[4]):
        os.remove(image_records[index].path)
    ((_, indices),) = loader.epoch(LABELS, 0, start_batch=4)
    np.testing.assert_array_equal(indices, expected[4])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_that_is_broken_off_leaves_the_next_one_intact(image_records, num_workers):
    loader = train_loader(image_records, num_workers=num_workers)
    expected = collect(loader.epoch(LABELS, 1))
    abandoned = loader.epoch(LABELS, 0)
    next(abandoned)
    for _ in range(2):  # first while the generator is still held, then after it is gone
        images, indices = collect(loader.epoch(LABELS, 1))
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_array_equal(images, expected[0])
        abandoned.close()
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_image_is_a_data_error_of_one_line(image_records, num_workers, capfd):
    with open(image_records[9].path, "wb") as file:
        file.write(b"")
    for batches in (
        eval_loader(ImageDataset(image_records, to_array), batch_size=6, image_shape=SHAPE, num_workers=num_workers),
        train_loader(image_records, num_workers=num_workers, num_batches=40).epoch(LABELS, 0),
    ):
        with pytest.raises(DataError) as caught:
            list(batches)
        message = str(caught.value)
        assert message.startswith(f"cannot read image {image_records[9].path}: ") and "\n" not in message
        assert "data.on_bad_image: skip" in message
    assert "Traceback" not in capfd.readouterr().err


def test_labels_must_fit_and_form_a_cluster(image_records):
    loader = train_loader(image_records)
    with pytest.raises(DataError, match=r"labels have shape \(3,\) but camids \(24,\)"):
        loader.epoch(np.zeros(3, int), 0)
    with pytest.raises(ClusteringError, match="all 24 images are outliers"):
        loader.epoch(np.full(24, -1), 0)


def test_the_interpreter_exits_cleanly_with_workers_alive(image_records):
    script = """
        import sys
        import numpy as np
        from ppreid.datasets.image_dataset import ImageDataset
        from ppreid.datasets.loader import TrainLoader
        from ppreid.base.records import ImageRecord

        def transform(image, rng):
            return np.asarray(image, np.float32).transpose(2, 0, 1)

        records = [ImageRecord(path, 1, 0) for path in sys.argv[2:]]
        batch = {"identities": 2, "images": 4, "num_batches": 6, "image_shape": (3, 16, 8)}
        loader = TrainLoader(ImageDataset(records, transform), num_workers=2, **batch)
        batches = loader.epoch(np.arange(len(records)) // 4, 0)
        for _ in range(6 if sys.argv[1] == "complete" else 2):
            next(batches)
        print(*loader._reader._pool.pids)
    """
    paths = [record.path for record in image_records]
    for how in ("complete", "broken off"):
        command = [sys.executable, "-c", textwrap.dedent(script), how, *paths]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
        for process in result.stdout.split():
            with pytest.raises(ProcessLookupError):
                os.kill(int(process), 0)


def test_records_without_cameras_can_be_loaded(image_records):
    records = [ImageRecord(record.path, -1, -1) for record in image_records]
    labels = np.repeat(np.arange(3), 8)
    _, indices = collect(train_loader(records, num_workers=0).epoch(labels, 0))
    assert all(len(set(block)) == 4 for block in indices.reshape(-1, 4).tolist())


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_the_shares_of_all_processes_are_the_batches_of_one(image_records, num_ranks):
    labels = np.arange(len(image_records)) // 4
    shape = {"identities": 3, "images": 2, "num_workers": 0}
    whole = list(train_loader(image_records, **shape).epoch(labels, 1))
    shares = [
        list(train_loader(image_records, **shape, rank=rank, num_ranks=num_ranks).epoch(labels, 1))
        for rank in range(num_ranks)
    ]
    for (images, indices), *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(np.concatenate([part.numpy() for part, _ in parts]), images.numpy())
        for _, indices_of_all in parts:
            np.testing.assert_array_equal(indices_of_all, indices)


def test_a_batch_that_cannot_be_shared_out_is_refused(image_records):
    labels = np.arange(len(image_records)) // 4
    loader = train_loader(image_records, identities=3, images=1, num_workers=0, rank=0, num_ranks=2)
    with pytest.raises(ConfigError, match="3 images cannot be divided equally among 2 processes"):
        loader.epoch(labels, 0)


@pytest.mark.parametrize("num_ranks", [2, 5])
def test_each_process_evaluates_its_share_of_the_batches(image_records, num_ranks):
    dataset, settings = ImageDataset(image_records, to_array), {"batch_size": 7, "image_shape": SHAPE, "num_workers": 0}
    whole = [indices.tolist() for _, indices in eval_loader(dataset, **settings)]
    shares = [eval_loader(dataset, **settings, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    batches = [[indices.tolist() for _, indices in share] for share in shares]
    assert [batch for share in batches for batch in share] == whole
    assert [list(share.rows) for share in shares] == [[row for rows in share for row in rows] for share in batches]
    assert [len(share) for share in shares] == [len(share) for share in batches]
    assert all(share.num_images == len(image_records) for share in shares)


def test_the_images_of_a_cluster_can_be_drawn_across_tracks_instead_of_cameras(image_records):
    loader = train_loader(image_records, images=2, num_workers=0, across=np.arange(24) // 2)
    _, indices = collect(loader.epoch(LABELS, 0))
    assert all(one // 2 != other // 2 for one, other in indices.reshape(-1, 2))
    cameras = train_loader(image_records, images=2, num_workers=0)
    _, indices = collect(cameras.epoch(LABELS, 0))
    assert all(one % 3 != other % 3 for one, other in indices.reshape(-1, 2))
