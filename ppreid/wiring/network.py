"""From configuration to the network of a run: what moves its weights, what guards them, what reads and judges it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ppreid import tables
from ppreid.base.errors import PpreidWarning
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.data import extractor, feature_loader
from ppreid.wiring.objective import auxiliary_layers, needs_bn

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from paddle.nn import Layer

    from ppreid.base.records import ImageRecord
    from ppreid.config.method import EvaluationModelConfig
    from ppreid.config.run import SolverConfig
    from ppreid.config.schema import TrainingConfig
    from ppreid.contracts import Twin
    from ppreid.models.reid_net import ReIDNet
    from ppreid.run.checkpoint import Checkpoint
    from ppreid.training.finite import FiniteGuard
    from ppreid.wiring.frozen import KeptMaps


def reid_net(
    cfg: EvaluationModelConfig,
    *,
    image_size: tuple[int, int] = (256, 128),
    bn_chunks: int = 1,
    seed: int = 0,
    ranks: Ranks = ALONE,
    neck_rows: bool = False,
    has_parts: bool = False,
    frozen_stages: int = 0,
) -> ReIDNet:
    """The network with random weights.

    Args:
        cfg: the model section; what only training has, as drop path, is off in that of an evaluation.
        image_size: height and width in pixels, for networks with a position for every place.
        bn_chunks: see `ReIDNet`.
        seed: of what the network draws in training.
        ranks: the processes that share a batch.
        neck_rows: see `ReIDNet`.
        has_parts: halves of the image have features of their own.
        frozen_stages: stages of the backbone that are not trained, and whose maps it takes in the place of images.
    """
    from ppreid.models.reid_net import ReIDNet, no_pooling

    row, pooling = tables.BACKBONES[cfg.backbone], tables.POOLINGS[cfg.pooling]
    pool: Any = no_pooling
    if not row.gives_vectors:
        pool = tables.resolve(pooling.function)() if pooling.is_layer else tables.resolve(pooling.function)
    settings = {**cfg.model_dump(include=set(row.keys) - {"frozen_stages"}), **row.settings}
    if frozen_stages:
        settings["frozen_stages"] = frozen_stages
    if row.has_positions:
        settings |= {"height": image_size[0], "width": image_size[1]}
    backbone = tables.resolve(row.function)(**settings)
    parts = draws = None
    if has_parts:
        from ppreid.models.parts import HalfParts

        parts = HalfParts(backbone.feature_dim)
    if num_draws := getattr(backbone, "num_draws", 0):
        from ppreid.models.drop_path import StepDraws

        draws = StepDraws(num_draws, seed=seed, rank=ranks.rank, num_ranks=ranks.count)
    return ReIDNet(
        backbone,
        pooling=pool,
        embedding_dim=cfg.embedding_dim,
        bn_chunks=bn_chunks,
        neck_rows=neck_rows,
        parts=parts,
        stripes=cfg.parts,
        draws=draws,
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
    model = reid_net(
        cfg.model,
        image_size=cfg.data.size,
        bn_chunks=chunks,
        seed=cfg.seed,
        ranks=ranks,
        neck_rows=needs_bn(cfg),
        has_parts=cfg.refine.has_parts,
        frozen_stages=cfg.model.frozen_stages,
    )
    model.auxiliary = auxiliary_layers(cfg, model.feature_dim)
    if cfg.augment.style_mix or cfg.model.neck_centre:
        from ppreid.models.batch_cameras import BatchCameras, look_at_cameras

        mix, centre = cfg.augment.style_mix, cfg.model.neck_centre
        cameras = BatchCameras(parts=cfg.model.bn_chunks, rank=ranks.rank, num_ranks=ranks.count)
        look_at_cameras(model, cameras, style_mix=mix, neck_centre=centre, seed=cfg.seed)
    return model


def frozen_maps(
    cfg: TrainingConfig,
    model: ReIDNet,
    records: Sequence[ImageRecord],
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> KeptMaps | None:
    """What a run reads in the place of its training images, see `kept_maps`; None where all stages are trained."""
    if not cfg.model.frozen_stages:
        return None
    from ppreid.wiring.frozen import kept_maps

    return kept_maps(cfg, model, records, checkpoint, ranks)


def from_images(cfg: TrainingConfig, model: Layer) -> Layer:
    """A network of `training_net` that takes images, in evaluation, also where the maps of frozen stages are kept."""
    if not cfg.model.frozen_stages:
        return model
    from ppreid.models.frozen import FromImages

    return FromImages(cast("ReIDNet", model))


def ema_twin(cfg: TrainingConfig, model: ReIDNet) -> Twin | None:
    """The twin that follows a network of `training_net`; None where none is wanted. It drops no paths."""
    if not cfg.ema.decay:
        return None
    from ppreid.ise.ema import EMATwin
    from ppreid.training.optimizer import autocast

    network = reid_net(
        cfg.model.model_copy(update={"drop_path": 0.0}),
        image_size=cfg.data.size,
        bn_chunks=model.bn_chunks,
        has_parts=cfg.refine.has_parts,
        frozen_stages=cfg.model.frozen_stages,
    )
    return EMATwin(
        model,
        network,
        decay=cfg.ema.decay,
        buffers=cfg.ema.buffers,
        parts=cfg.batch.accumulate,
        autocast=autocast(cfg.amp.level, cfg.amp.dtype),
    )


def optimizer(cfg: SolverConfig, model: ReIDNet) -> paddle.optimizer.Optimizer:
    """What moves the weights of a network."""
    row = tables.OPTIMIZERS[cfg.optimizer]
    keys = cfg.model_dump(include=set(row.keys))
    return tables.resolve(row.function)(model, lr=cfg.lr, weight_decay=cfg.weight_decay, **keys)


def finite_guard(cfg: TrainingConfig, records: Sequence[ImageRecord]) -> FiniteGuard:
    """What looks for numbers that are not finite."""
    from ppreid.training.finite import FiniteGuard, write_nonfinite_batch
    from ppreid.training.optimizer import OFF, LossScale

    paths = [record.path for record in records]
    return FiniteGuard(
        partial(write_nonfinite_batch, folder=Path(cfg.output_dir), image_paths=paths),
        may_skip=cfg.solver.on_nonfinite == "skip",
        max_skips=cfg.solver.max_nonfinite,
        scale=LossScale(is_dynamic=cfg.amp.level != OFF and cfg.amp.dtype == "float16"),
    )


def extraction(
    cfg: TrainingConfig,
    records: Sequence[ImageRecord],
    twin: Twin | None = None,
    ranks: Ranks = ALONE,
    maps: KeptMaps | None = None,
) -> Callable[[Layer], np.ndarray]:
    """Network to features of the training images, or of their maps; its twin may stand in for it."""
    loader = maps.loader if maps else feature_loader(records, cfg.data, cfg.eval, ranks=ranks)
    extract = partial(extractor(cfg.eval), loader=loader, ranks=ranks)
    network = twin.network if twin and cfg.ema.cluster else None
    if cfg.refine.has_parts:
        from ppreid.models.parts import AllHeads

        return lambda model: extract(AllHeads(network or model))
    return lambda model: extract(network or model)
