"""From configuration to the objects of a run; each function imports what it makes, since no command needs them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ppreid import tables
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.data import dataset as dataset
from ppreid.wiring.data import extractor as extractor
from ppreid.wiring.data import feature_loader as feature_loader
from ppreid.wiring.data import finished_engine as finished_engine
from ppreid.wiring.data import published_counts as published_counts
from ppreid.wiring.data import require_cameras as require_cameras
from ppreid.wiring.data import train_loader as train_loader
from ppreid.wiring.network import ema_twin as ema_twin
from ppreid.wiring.network import extraction as extraction
from ppreid.wiring.network import finite_guard as finite_guard
from ppreid.wiring.network import from_images as from_images
from ppreid.wiring.network import frozen_maps as frozen_maps
from ppreid.wiring.network import optimizer as optimizer
from ppreid.wiring.network import reid_net as reid_net
from ppreid.wiring.network import training_net as training_net
from ppreid.wiring.objective import head_weights, run_objective
from ppreid.wiring.objective import memory as memory
from ppreid.wiring.objective import objective as objective
from ppreid.wiring.rankings import colour as colour
from ppreid.wiring.rankings import colour_alone as colour_alone
from ppreid.wiring.rankings import colours as colours
from ppreid.wiring.rankings import evaluation as evaluation
from ppreid.wiring.rankings import prepared as prepared
from ppreid.wiring.rankings import ranking as ranking
from ppreid.wiring.rankings import track_map as track_map

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer
    from PIL import Image
    from scipy.sparse import csr_matrix

    from ppreid.base.records import ImageRecord, ReIDSplit
    from ppreid.config.beyond import RefineConfig
    from ppreid.config.method import LabelsConfig
    from ppreid.config.run import AmpConfig, BatchConfig
    from ppreid.config.schema import Config, TrainingConfig
    from ppreid.contracts import Clusterer, Distance, ImageFeatures, Twin
    from ppreid.run.progress import Schedule
    from ppreid.training.loop import Method
    from ppreid.training.step import Forward
    from ppreid.wiring.graph import TrackGraph


def distance(
    cfg: LabelsConfig,
    epoch: int,
    colour: Callable[[], np.ndarray] | None = None,
    *,
    graph: TrackGraph | None = None,
    refine: RefineConfig | None = None,
) -> Distance:
    """Features and cameras to the distances of the pseudo labels of an epoch, from 0.

    Args:
        cfg: the labels section.
        epoch: the epoch.
        colour: gives the colour of the training images (N, 768), for epochs that begin with it.
        graph: what clustering does with tracks; where these are its nodes, the distances are between them.
        refine: how far the neighbours of refined labels may be, and whether images have halves.
    """
    use_colour = colour is not None and cfg.start.features == "colour" and epoch < cfg.start.epochs
    radius = refine.radius if refine and refine.weight else 0.0
    limit = max(cfg.eps, radius) if tables.CLUSTERERS[cfg.clusterer].within_eps else 1.0
    parts = refine if refine and refine.has_parts else None
    compute = _distance_of(cfg, epoch, graph, 1.0 if parts else limit)
    if use_colour or cfg.camera_centre != 0:
        from ppreid.clustering.prepared import prepared_distance

        instead = colour if use_colour else None
        compute = partial(prepared_distance, distance=compute, camera_centre=cfg.camera_centre, instead=instead)
    if parts is None:
        return compute
    from ppreid.ise.part_refine import mixed_distance

    return partial(mixed_distance, distance=compute, part_distance=parts.part_distance, max_distance=limit)


def track_graph(cfg: LabelsConfig, records: Sequence[ImageRecord], *, shared_clock: bool = False) -> TrackGraph | None:
    """What clustering does with the tracks of these images; None where it looks at none.

    Raises:
        DataError: the configuration asks for tracks or their times, and none is known.
    """
    if cfg.unit == "image" and not cfg.cannot_link:
        return None
    from ppreid.wiring.graph import graph_of_tracks

    return graph_of_tracks(cfg, records, shared_clock=shared_clock)


def _distance_of(cfg: LabelsConfig, epoch: int, graph: TrackGraph | None, max_distance: float) -> Distance:
    """As `distance`, of features as they come; farther pairs are not stored."""
    cfg = cfg.of_unit()
    row = tables.DISTANCES[cfg.distance]
    compute = partial(
        tables.resolve(row.function),
        **cfg.of_epoch(row.keys, epoch),
        max_distance=max_distance,
        method=cfg.neighbours,
        num_probes=cfg.num_probes or None,
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


def feature_extractor(cfg: Config, model: Layer, *, finished: bool = False, flip: bool = False) -> ImageFeatures:
    """A function of images and a description of the progress, which gives their features (N, D); see `extractor`."""

    def extract(
        records: Sequence[ImageRecord],
        *,
        description: str = "extract",
        held: Mapping[int, Image.Image] | None = None,
    ) -> np.ndarray:
        loader = feature_loader(records, cfg.data, cfg.eval, held=held)
        return extractor(cfg.eval, finished=finished, flip=flip)(model, loader, description=description)

    return extract


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
            milestones=solver.milestones,
            warmup_epochs=solver.warmup_epochs,
            warmup_factor=solver.warmup_factor,
        ),
        pli_degree=partial(pli_degree, total_steps=solver.epochs * solver.iters, base=cfg.ise.pli_base),
        log_steps=cfg.log.every,
        evaluate_epochs=cfg.eval.every if can_evaluate else 0,
    )


def method(
    cfg: TrainingConfig,
    split: ReIDSplit,
    ranks: Ranks = ALONE,
    *,
    auxiliary: Layer | None = None,
    twin: Twin | None = None,
) -> Method:
    """What there is to choose in the method, for this data set.

    Args:
        cfg: of the run.
        split: the data set.
        ranks: the processes of the run.
        auxiliary: that of the network, see `training_net`.
        twin: follows the network.
    """
    from ppreid.training.loop import Method

    graph = track_graph(cfg.labels, split.train, shared_clock=cfg.data.shared_clock)
    of_images = partial(distance, cfg.labels, colour=colour(split.train, cfg.data))
    return Method(
        distance=partial(of_images, graph=graph, refine=cfg.refine),
        clusterer=partial(_at_least_one, cfg=cfg.labels, graph=graph),
        memory=memory(cfg.memory, heads=len(head_weights(cfg))),
        objective=run_objective(cfg, auxiliary),
        schedule=schedule(cfg, can_evaluate=bool(split.query)),
        forward=forward(cfg.batch, cfg.amp, ranks),
        twins=[twin] if twin else [],
    )


def _at_least_one(distances: csr_matrix, *, cfg: LabelsConfig, graph: TrackGraph | None) -> np.ndarray:
    """Labels (N,) of sparse distances, with at least one cluster: nothing can be trained without."""
    from ppreid.clustering.labels import log_giant_cluster, require_clusters

    labels = graph.clusterer(clusterer(cfg))(distances) if graph else clusterer(cfg)(distances)
    require_clusters(labels, eps=cfg.eps, min_samples=cfg.of_unit().min_samples, of_tracks=cfg.unit == "track")
    log_giant_cluster(labels, eps=cfg.eps if tables.CLUSTERERS[cfg.clusterer].looks_at_eps else None)
    return labels
