"""From configuration to the objects of a run."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from ppreid.base.errors import ConfigError
from ppreid.base.records import ImageRecord
from ppreid.config.data import DataConfig
from ppreid.config.method import EvaluationModelConfig, ISEConfig, LabelsConfig, MemoryConfig
from ppreid.config.run import AmpConfig, BatchConfig, EvaluationSettings
from ppreid.config.schema import TrainingConfig
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.loader import EvalLoader, TrainLoader, eval_loader
from ppreid.datasets.transforms import eval_transform, train_transform
from ppreid.evaluation.ranking import RankingResult, evaluate_features
from ppreid.ise.memory import ClusterMemory
from ppreid.ise.objective import LossTerms
from ppreid.ise.schedule import pli_degree
from ppreid.ise.support_samples import usable_topk
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.tables import BACKBONES, CLUSTERERS, DISTANCES, MEMORY_UPDATES, OBJECTIVES, POOLINGS
from ppreid.training.extract import extract_features
from ppreid.training.finite import FiniteGuard, write_nonfinite_batch
from ppreid.training.optimizer import learning_rate
from ppreid.training.precision import OFF, LossScale, autocast
from ppreid.training.pseudo_labels import DistanceMethod
from ppreid.training.step import Forward, all_ranks, micro_batches
from ppreid.training.train import Schedule


def bn_chunks_per_pass(cfg: TrainingConfig, ranks: Ranks) -> int:
    """Parts in which a training batch is normalised within one pass of one process.

    Raises:
        ConfigError: the processes cannot normalise the batch in model.bn_chunks parts.
    """
    chunks, passes = cfg.model.bn_chunks, ranks.count * cfg.batch.accumulate
    if chunks % passes:
        raise ConfigError(
            f"{ranks.count} processes with batch.accumulate={cfg.batch.accumulate} normalise a batch in {passes} parts "
            f"and model.bn_chunks is {chunks}; set -o model.bn_chunks={passes} or a multiple of it, or start another "
            "number of processes. The result depends on model.bn_chunks, not on the number of processes"
        )
    return chunks // passes


def reid_net(cfg: EvaluationModelConfig, *, bn_chunks: int = 1) -> ReIDNet:
    """The network with random weights."""
    return ReIDNet(
        BACKBONES[cfg.backbone](base_width=cfg.base_width, last_stride=cfg.last_stride),
        pooling=POOLINGS[cfg.pooling](),
        embedding_dim=cfg.embedding_dim,
        bn_chunks=bn_chunks,
    )


def feature_loader(
    records: Sequence[ImageRecord],
    data: DataConfig,
    settings: EvaluationSettings,
    *,
    first_row: int = 0,
    ranks: Ranks = ALONE,
) -> EvalLoader:
    """All images from a row on, once, in order, without augmentation; of several processes each reads a share."""
    dataset = ImageDataset(records, partial(eval_transform, height=data.height, width=data.width))
    return eval_loader(
        dataset,
        batch_size=settings.batch_size,
        image_shape=(3, data.height, data.width),
        first_row=first_row,
        num_workers=data.num_workers,
        worker_timeout=data.worker_timeout,
        rank=ranks.rank,
        num_ranks=ranks.count,
    )


def extractor(settings: EvaluationSettings) -> Callable[..., np.ndarray]:
    """Network and loader to features (N, D)."""
    return partial(extract_features, engine=settings.engine, precision=settings.precision)


def train_loader(records: Sequence[ImageRecord], cfg: TrainingConfig, ranks: Ranks = ALONE) -> TrainLoader:
    """Augmented batches of identities x images."""
    transform = partial(
        train_transform,
        height=cfg.data.height,
        width=cfg.data.width,
        flip=cfg.augment.flip,
        pad=cfg.augment.pad,
        erasing=cfg.augment.erasing,
        color_jitter=cfg.augment.color_jitter,
    )
    return TrainLoader(
        ImageDataset(records, transform, seed=cfg.seed),
        identities=cfg.batch.identities,
        images=cfg.batch.images,
        num_batches=cfg.solver.iters,
        image_shape=(3, cfg.data.height, cfg.data.width),
        num_workers=cfg.data.num_workers,
        worker_timeout=cfg.data.worker_timeout,
        rank=ranks.rank,
        num_ranks=ranks.count,
    )


def distance(cfg: LabelsConfig, epoch: int) -> DistanceMethod:
    """Neighbour search and distance of the pseudo labels of an epoch, from 0."""
    return DISTANCES[cfg.distance](cfg, epoch)


def clusterer(cfg: LabelsConfig) -> Callable[[csr_matrix], np.ndarray]:
    """Sparse distances (N, N) to labels (N,)."""
    return lambda distances: CLUSTERERS[cfg.clusterer](distances, cfg)


def cluster_memory(cfg: MemoryConfig, centroids: np.ndarray) -> ClusterMemory:
    """A memory that starts at the centroids (C, D) of the pseudo labels."""
    return ClusterMemory(centroids, MEMORY_UPDATES[cfg.update], cfg.momentum)


def objective(cfg: ISEConfig, *, num_clusters: int) -> Callable[..., LossTerms]:
    """The objective of one epoch; warns when there are too few clusters for ise.topk."""
    topk = 0 if cfg.objective == "baseline" else usable_topk(cfg.topk, num_clusters)
    return partial(
        OBJECTIVES[cfg.objective],
        topk=topk,
        temperature=cfg.temperature,
        lp_temperature=cfg.lp_temperature,
        lp_weight=cfg.lp_weight,
    )


def forward(batch: BatchConfig, amp: AmpConfig, ranks: Ranks = ALONE) -> Forward:
    """From the images of a step, or this process's share of them, to the features of all."""
    own = partial(micro_batches, parts=batch.accumulate, autocast=autocast(amp.level, amp.dtype))
    return partial(all_ranks, own=own, ranks=ranks)


def finite_guard(cfg: TrainingConfig, records: Sequence[ImageRecord]) -> FiniteGuard:
    """What looks for numbers that are not finite."""
    paths = [record.path for record in records]
    return FiniteGuard(
        partial(write_nonfinite_batch, folder=Path(cfg.output_dir), image_paths=paths),
        may_skip=cfg.solver.on_nonfinite == "skip",
        max_skips=cfg.solver.max_nonfinite,
        scale=LossScale(is_dynamic=cfg.amp.level != OFF and cfg.amp.dtype == "float16"),
    )


def schedule(cfg: TrainingConfig, epoch: int) -> Schedule:
    """Steps, learning rates and PLI degrees of one epoch (0-based)."""
    solver = cfg.solver
    return Schedule(
        steps=range(epoch * solver.iters, (epoch + 1) * solver.iters),
        learning_rate=partial(
            learning_rate,
            iters=solver.iters,
            lr=solver.lr,
            lr_step=solver.lr_step,
            lr_gamma=solver.lr_gamma,
            warmup_iters=solver.warmup_iters,
        ),
        pli_degree=partial(pli_degree, total_steps=solver.epochs * solver.iters, base=cfg.ise.pli_base),
    )


def ranking(cfg: EvaluationSettings) -> Callable[..., RankingResult]:
    """Features, identities and cameras of query and gallery to metrics."""
    return partial(evaluate_features, protocol=cfg.protocol, ignore_camera=cfg.ignore_camera)
