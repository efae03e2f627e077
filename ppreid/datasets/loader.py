"""What an epoch reads: all images in order for features, P x K batches drawn from pseudo labels for training."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from paddle import Tensor

from ppreid.base.errors import ConfigError
from ppreid.datasets.batch_reader import Batch, BatchReader
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.sampler import epoch_batches


class TrainLoader:
    """Training batches of P identities x K images; one set of workers for all epochs."""

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        identities: int,
        images: int,
        num_batches: int,
        image_shape: tuple[int, int, int],
        num_workers: int = 4,
        worker_timeout: float = 300.0,
        across: np.ndarray | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Keep the settings; workers start with the first batch.

        Args:
            dataset: training images; its seed also decides which images are drawn.
            identities: clusters per batch, P.
            images: images per cluster, K.
            num_batches: batches of an epoch.
            image_shape: of an image as the data set gives it, (3, H, W).
            num_workers: worker processes; 0 reads in the calling process.
            worker_timeout: seconds without a sign of life after which a worker counts as hanging.
            across: (N,) what the images of a cluster come from, their tracks for example: others than the first image's
                are drawn, where there are any. None is their cameras.
            rank: number of this process among those of the run, from 0.
            num_ranks: processes of the run; all draw the same batches, and each reads its share of their images.
        """
        self._dataset = dataset
        self._rank, self._num_ranks = rank, num_ranks
        self._across = np.array([record.camid for record in dataset.records]) if across is None else across
        self._batch_shape = {"identities": identities, "images": images}
        self._num_batches = num_batches
        self._reader = BatchReader(
            dataset, image_shape=image_shape, num_workers=num_workers, worker_timeout=worker_timeout
        )

    def epoch(self, labels: np.ndarray, epoch: int, *, start_batch: int = 0) -> Iterator[Batch]:
        """Batches of one epoch; the same for the same seed, labels and epoch, whatever the number of workers.

        Args:
            labels: pseudo label of each image of the data set, (N,); -1 is left out.
            epoch: number of the epoch, from 0.
            start_batch: batches to skip without reading their images, to resume within an epoch.

        Returns:
            The batches: images (P * K, 3, H, W) and their indices (P * K,). With several processes the images of this
            one's contiguous share (P * K / num_ranks, 3, H, W), and the indices (P * K,) of the whole batch.

        Raises:
            ClusteringError: there is no cluster.
            ConfigError: the images of a batch cannot be divided equally among the processes.
            DataError: the labels do not fit the data set, or, while iterating, an image cannot be read.
        """
        rng = np.random.default_rng([self._dataset.seed, epoch, 0])
        batches = list(epoch_batches(labels, self._across, num_batches=self._num_batches, rng=rng, **self._batch_shape))
        draws = itertools.count()
        keys = [[(index, epoch, next(draws)) for index in batch] for batch in batches]
        if self._num_ranks == 1:
            return self._reader.read(keys[start_batch:])
        own = [_share(batch, self._rank, self._num_ranks) for batch in keys[start_batch:]]
        return _with_indices(self._reader.read(own), batches[start_batch:])

    def close(self) -> None:
        """End the workers; the next epoch would start new ones."""
        self._reader.close()


def _share(batch: Sequence[tuple[int, int, int]], rank: int, num_ranks: int) -> Sequence[tuple[int, int, int]]:
    """The contiguous part of a batch that one of several processes reads."""
    if len(batch) % num_ranks:
        raise ConfigError(
            f"a training batch of {len(batch)} images cannot be divided equally among {num_ranks} processes; choose "
            "another number of processes. A batch is smaller than batch.identities x batch.images when there are fewer "
            "clusters"
        )
    size = len(batch) // num_ranks
    return batch[rank * size : (rank + 1) * size]


def _with_indices(own: Iterable[Batch], batches: Iterable[list[int]]) -> Iterator[Batch]:
    """Images of a share with the indices of the whole batch."""
    for (images, _), batch in zip(own, batches, strict=True):
        yield images, np.array(batch, np.int64)


class EvalLoader:
    """All images of a data set in its order, or a share of them; workers live for one pass.

    Attributes:
        num_images: of the whole data set.
        rows: the images that this loader gives.
    """

    def __init__(self, dataset: ImageDataset, reader: BatchReader, batches: Sequence[range]) -> None:
        """See `eval_loader`."""
        self.num_images = len(dataset)
        self.rows = range(batches[0].start, batches[-1].stop) if batches else range(0)
        self._reader = reader
        self._batches = batches

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Read the images once."""
        try:
            yield from self._reader.read(self._batches)
        finally:
            self._reader.close()

    def images_of(self, rows: Sequence[int]) -> Tensor:
        """Any images of the whole data set, (B, 3, H, W), read in this process; a pass that is under way goes on."""
        return next(self._reader.read_here([rows]))


def eval_loader(
    dataset: ImageDataset,
    *,
    batch_size: int,
    image_shape: tuple[int, int, int],
    rows: range | None = None,
    num_workers: int = 4,
    worker_timeout: float = 300.0,
    rank: int = 0,
    num_ranks: int = 1,
) -> EvalLoader:
    """Loader for features: every image once, in order, the last batch may be smaller.

    Args:
        dataset: images with an evaluation transform.
        batch_size: images per batch.
        image_shape: of an image as the data set gives it, (3, H, W).
        rows: all others are left out, to resume or in a shard; `num_images` and the indices still count them. None
            leaves out none.
        num_workers: worker processes; 0 reads in the calling process.
        worker_timeout: seconds without a sign of life after which a worker counts as hanging.
        rank: number of this process among those of the run, from 0.
        num_ranks: processes of the run. Each gets a contiguous share of the batches; the batches are those of a single
            process, so that the features are the same bit for bit.

    Returns:
        An iterable of (images (B, 3, H, W), indices (B,)) with a length; it can be iterated again.
    """
    reader = BatchReader(dataset, image_shape=image_shape, num_workers=num_workers, worker_timeout=worker_timeout)
    rows = range(len(dataset)) if rows is None else rows
    starts = range(rows.start, rows.stop, batch_size)
    batches = [range(start, min(start + batch_size, rows.stop)) for start in starts]
    share = slice(rank * len(batches) // num_ranks, (rank + 1) * len(batches) // num_ranks)
    return EvalLoader(dataset, reader, batches[share])
