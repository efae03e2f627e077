"""From configuration to the objects of a run; each function imports what it makes, since no command needs them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ppreid import tables
from ppreid.base.records import ImageRecord
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.data import dataset as dataset
from ppreid.wiring.data import feature_loader as feature_loader
from ppreid.wiring.data import published_counts as published_counts
from ppreid.wiring.data import train_loader as train_loader
from ppreid.wiring.evaluation import colour as colour
from ppreid.wiring.evaluation import colour_alone as colour_alone
from ppreid.wiring.evaluation import evaluation as evaluation
from ppreid.wiring.evaluation import extractor as extractor
from ppreid.wiring.evaluation import prepared as prepared
from ppreid.wiring.evaluation import ranking as ranking
from ppreid.wiring.graph import TrackGraph, track_graph
from ppreid.wiring.network import optimizer as optimizer
from ppreid.wiring.network import reid_net as reid_net
from ppreid.wiring.network import training_net as training_net

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from ppreid.base.records import ImageRecord
    from ppreid.config.method import ISEConfig, LabelsConfig
    from ppreid.config.run import AmpConfig, BatchConfig
    from ppreid.config.schema import TrainingConfig
    from ppreid.contracts import Clusterer, Distance, Objective
    from ppreid.run.progress import Schedule
    from ppreid.training.loop import Method
    from ppreid.training.step import Forward


def distance(
    cfg: LabelsConfig,
    epoch: int,
    colour: Callable[[], np.ndarray] | None = None,
    *,
    graph: TrackGraph | None = None,
) -> Distance:
    """Features and cameras to the distances of the pseudo labels of an epoch, from 0.

    Args:
        cfg: the labels section.
        epoch: the epoch.
        colour: gives the colour of the training images (N, 768), for epochs that begin with it.
        graph: what clustering does with tracks; where these are its nodes, the distances are between them.
    """
    from ppreid.clustering.prepared import prepared_distance

    use_colour = colour is not None and cfg.start.features == "colour" and epoch < cfg.start.epochs
    compute = _distance_of(cfg, epoch, graph)
    if not use_colour and cfg.camera_centre == 0:
        return compute
    return partial(
        prepared_distance, distance=compute, camera_centre=cfg.camera_centre, instead=colour if use_colour else None
    )


def _distance_of(cfg: LabelsConfig, epoch: int, graph: TrackGraph | None) -> Distance:
    """As `distance`, of features as they come."""
    cfg = cfg.of_unit()
    row, clusterer = tables.DISTANCES[cfg.distance], tables.CLUSTERERS[cfg.clusterer]
    compute = partial(
        tables.resolve(row.function),
        **cfg.of_epoch(row.keys, epoch),
        max_distance=cfg.eps if clusterer.within_eps else 1.0,
        method=cfg.neighbours,
        num_probes=cfg.num_probes,
    )
    each = (
        compute if row.needs_cameras else lambda features, camids, *, stopwatch: compute(features, stopwatch=stopwatch)
    )
    return graph.distance(each) if graph else each


def clusterer(cfg: LabelsConfig) -> Clusterer:
    """Sparse distances (N, N), of tracks where they are nodes, to labels (N,)."""
    cfg = cfg.of_unit()
    row = tables.CLUSTERERS[cfg.clusterer]
    eps = {"eps": cfg.eps} if row.looks_at_eps else {}
    return partial(tables.resolve(row.function), min_samples=cfg.min_samples, **eps)


def objective(cfg: ISEConfig, num_clusters: int) -> Objective:
    """The objective of one epoch; warns when there are too few clusters for ise.topk."""
    from ppreid.ise.support_samples import usable_topk

    row = tables.OBJECTIVES[cfg.objective]
    return partial(
        tables.resolve(row.function),
        topk=usable_topk(cfg.topk, num_clusters) if row.has_supports else 0,
        temperature=cfg.temperature,
        lp_temperature=cfg.lp_temperature,
        lp_weight=cfg.lp_weight,
        **row.settings,
    )


def forward(batch: BatchConfig, amp: AmpConfig, ranks: Ranks = ALONE) -> Forward | None:
    """From the images of a step, or this process's share of them, to the features of all; None: the network, once."""
    from ppreid.training.optimizer import OFF, autocast
    from ppreid.training.step import all_ranks, micro_batches

    if ranks.count == 1 and batch.accumulate == 1 and amp.level == OFF:
        return None
    own = partial(micro_batches, parts=batch.accumulate, autocast=autocast(amp.level, amp.dtype))
    return own if ranks.count == 1 else partial(all_ranks, own=own, ranks=ranks)


def schedule(cfg: TrainingConfig, *, can_evaluate: bool = False) -> Schedule:
    """Steps, learning rates and PLI degrees."""
    from ppreid.ise.support_samples import pli_degree
    from ppreid.run.progress import Schedule
    from ppreid.training.optimizer import learning_rate

    solver = cfg.solver
    return Schedule(
        epochs=solver.epochs,
        iters=solver.iters,
        learning_rate=partial(
            learning_rate,
            iters=solver.iters,
            lr=solver.lr,
            lr_step=solver.lr_step,
            lr_gamma=solver.lr_gamma,
            warmup_iters=solver.warmup_iters,
        ),
        pli_degree=partial(pli_degree, total_steps=solver.epochs * solver.iters, base=cfg.ise.pli_base),
        log_steps=cfg.log.every,
        evaluate_epochs=cfg.eval.every if can_evaluate else 0,
    )


def method(
    cfg: TrainingConfig, records: Sequence[ImageRecord], ranks: Ranks = ALONE, *, can_evaluate: bool = False
) -> Method:
    """What there is to choose in the method, for these training images."""
    from ppreid.training.loop import Method

    graph = track_graph(cfg.labels, records)
    return Method(
        distance=partial(distance, cfg.labels, colour=colour(records, cfg.data), graph=graph),
        clusterer=partial(_at_least_one, cfg=cfg.labels, graph=graph),
        memory_update=tables.resolve(tables.MEMORY_UPDATES[cfg.memory.update].function),
        momentum=cfg.memory.momentum,
        objective=partial(objective, cfg.ise),
        schedule=schedule(cfg, can_evaluate=can_evaluate),
        forward=forward(cfg.batch, cfg.amp, ranks),
    )


def _at_least_one(distances: csr_matrix, *, cfg: LabelsConfig, graph: TrackGraph | None) -> np.ndarray:
    """Labels (N,) of sparse distances, with at least one cluster: nothing can be trained without."""
    from ppreid.clustering.labels import log_giant_cluster, require_clusters

    labels = graph.clusterer(clusterer(cfg))(distances) if graph else clusterer(cfg)(distances)
    require_clusters(labels, eps=cfg.eps, min_samples=cfg.of_unit().min_samples, of_tracks=cfg.unit == "track")
    log_giant_cluster(labels, eps=cfg.eps if tables.CLUSTERERS[cfg.clusterer].looks_at_eps else None)
    return labels
