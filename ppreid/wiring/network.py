"""From configuration to the network, and to what moves its weights."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ppreid import tables
from ppreid.base.errors import PpreidWarning
from ppreid.processes.ranks import ALONE, Ranks

if TYPE_CHECKING:
    import paddle

    from ppreid.config.method import EvaluationModelConfig
    from ppreid.config.run import SolverConfig
    from ppreid.config.schema import TrainingConfig
    from ppreid.models.reid_net import ReIDNet


def reid_net(
    cfg: EvaluationModelConfig,
    *,
    image_size: tuple[int, int] = (256, 128),
    bn_chunks: int = 1,
    seed: int = 0,
    ranks: Ranks = ALONE,
) -> ReIDNet:
    """The network with random weights.

    Args:
        cfg: the model section; what only training has, as drop path, is off in that of an evaluation.
        image_size: height and width in pixels, for networks with a position for every place.
        bn_chunks: see `ReIDNet`.
        seed: of what the network draws in training.
        ranks: the processes that share a batch.
    """
    from ppreid.models.drop_path import StepDraws
    from ppreid.models.reid_net import ReIDNet, no_pooling

    row, pooling = tables.BACKBONES[cfg.backbone], tables.POOLINGS[cfg.pooling]
    pool: Any = no_pooling
    if not row.gives_vectors:
        pool = tables.resolve(pooling.function)() if pooling.is_layer else tables.resolve(pooling.function)
    settings = {**cfg.model_dump(include=set(row.keys)), **row.settings}
    if row.has_positions:
        settings |= {"height": image_size[0], "width": image_size[1]}
    backbone = tables.resolve(row.function)(**settings)
    num_draws = getattr(backbone, "num_draws", 0)
    return ReIDNet(
        backbone,
        pooling=pool,
        embedding_dim=cfg.embedding_dim,
        bn_chunks=bn_chunks,
        draws=StepDraws(num_draws, seed=seed, rank=ranks.rank, num_ranks=ranks.count) if num_draws else None,
    )


def training_net(cfg: TrainingConfig, ranks: Ranks = ALONE) -> ReIDNet:
    """The network of a run with random weights; says when its normalisation is none that anybody published.

    Raises:
        ConfigError: the processes cannot normalise a batch in model.bn_chunks parts.
    """
    from ppreid.config.schema import bn_chunks_per_pass

    if tables.BACKBONES[cfg.model.backbone].wants_chunks and cfg.model.bn_chunks == 1:
        text = f"model.backbone {cfg.model.backbone} was published with batch normalisation over 64 or 128 images"
        warnings.warn(f"{text}; with model.bn_chunks 1 it is the whole batch, try 4 or 2", PpreidWarning, stacklevel=2)
    chunks = bn_chunks_per_pass(cfg, devices=ranks.count)
    return reid_net(cfg.model, image_size=cfg.data.size, bn_chunks=chunks, seed=cfg.seed, ranks=ranks)


def optimizer(cfg: SolverConfig, model: ReIDNet) -> paddle.optimizer.Optimizer:
    """What moves the weights of a network."""
    row = tables.OPTIMIZERS[cfg.optimizer]
    keys = cfg.model_dump(include=set(row.keys))
    return tables.resolve(row.function)(model, lr=cfg.lr, weight_decay=cfg.weight_decay, **keys)
