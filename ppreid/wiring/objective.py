"""From configuration to what the steps of a run minimise, and the memory that they move."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ppreid import tables

if TYPE_CHECKING:
    from paddle.nn import Layer

    from ppreid.config.beyond import RefineConfig
    from ppreid.config.method import ISEConfig, MemoryConfig
    from ppreid.config.schema import TrainingConfig
    from ppreid.contracts import Addition, Objective, RunObjective


def objective(cfg: ISEConfig, num_clusters: int) -> Objective:
    """The objective of one epoch; warns when there are too few clusters for ise.topk."""
    from ppreid.ise.support_samples import usable_topk

    row, weights = tables.OBJECTIVES[cfg.objective], tables.CONTRAST_WEIGHTS[cfg.contrast_weights].function
    of_epoch = partial(
        tables.resolve(row.function),
        topk=usable_topk(cfg.topk, num_clusters) if row.has_supports else 0,
        temperature=cfg.temperature,
        lp_temperature=cfg.lp_temperature,
        lp_weight=cfg.lp_weight,
        **({"contrast_weights": tables.resolve(weights)} if weights else {}),
        **row.settings,
    )
    if row.sees_batch:
        return of_epoch
    return lambda features, labels, centroids, degree, *, batch: of_epoch(features, labels, centroids, degree)


def needs_bn(cfg: TrainingConfig) -> bool:
    """Whether something looks at the rows of the neck before they are scaled to unit norm."""
    return bool(cfg.refine.weight) or tables.OBJECTIVES[cfg.ise.objective].needs_bn


def run_objective(cfg: TrainingConfig, auxiliary: Layer | None = None) -> RunObjective:
    """What the steps of a run minimise; `auxiliary` is that of the network, see `auxiliary_layers`."""
    from ppreid.ise.composed import ComposedObjective

    row = tables.OBJECTIVES[cfg.ise.objective]
    return ComposedObjective(
        partial(objective, cfg.ise),
        additions=_additions(cfg, auxiliary),
        prepare=tables.resolve(row.prepare) if row.prepare else None,
        from_bn=needs_bn(cfg),
        originals=memory_from_originals(cfg.memory),
        head_weights=head_weights(cfg),
    )


def auxiliary_layers(cfg: TrainingConfig, dim: int) -> Layer | None:
    """The layers that the objective calls with features of `dim` numbers; None where it needs none."""
    if not cfg.refine.weight:
        return None
    from paddle.nn import LayerList

    from ppreid.ise.refine import RefineHead

    heads = [RefineHead(cfg.refine.max_clusters, dim) for _ in head_weights(cfg)]
    return LayerList(heads) if len(heads) > 1 else heads[0]


def head_weights(cfg: TrainingConfig) -> tuple[float, ...]:
    """Weights in the loss of the rows that a feature consists of in training."""
    if cfg.model.parts > 1:
        rows = 1 + cfg.model.parts
        return (1 / rows,) * rows
    if not cfg.refine.has_parts:
        return (1.0,)
    from ppreid.ise.part_refine import head_weights as of_parts

    return of_parts(cfg.refine.part_weight)


def _additions(cfg: TrainingConfig, auxiliary: Layer | None) -> list[Addition]:
    """The losses beside the objective."""
    found: list[Addition] = []
    if cfg.refine.weight:
        found.append(_refinement(cfg.refine, auxiliary))
    if cfg.camera_proxies.weight:
        from ppreid.ise.camera_proxies import CameraProxies

        found.append(CameraProxies(**cfg.camera_proxies.model_dump()))
    return found


def _refinement(cfg: RefineConfig, auxiliary: Layer | None) -> Addition:
    """The loss of refined labels, of the whole image or of its halves as well."""
    from ppreid.ise.neighbour_graph import neighbour_graph
    from ppreid.ise.part_refine import PartRefinement
    from ppreid.ise.refine import Refinement

    # as released, the FARTHER of two neighbours weighs more
    sign = {"released": 1.0, "uniform": 0.0, "similarity": -1.0}[cfg.weighting]
    shared: dict[str, Any] = {
        "weight": cfg.weight,
        "alpha": cfg.alpha,
        "start_epoch": cfg.start_epoch,
        "graph": partial(neighbour_graph, radius=cfg.radius, temperature=cfg.temperature, sign=sign),
    }
    if cfg.has_parts:
        settings = cfg.model_dump(include={"part_weight", "part_alpha", "kl_temperature"})
        return PartRefinement(cast(Any, auxiliary), **shared, **settings)
    return Refinement(cast(Any, auxiliary), **shared)


def memory_from_originals(cfg: MemoryConfig) -> bool:
    """Whether the images of a batch alone move the memory."""
    return cfg.rows == "originals" or (cfg.rows == "auto" and tables.MEMORY_UPDATES[cfg.update].originals)


def memory(cfg: MemoryConfig, *, heads: int = 1) -> dict[str, Any]:
    """How the `ClusterMemory` of an epoch moves: its arguments behind the centroids."""
    row = tables.MEMORY_UPDATES[cfg.update]
    update = tables.resolve(row.function)
    return {"update": update, "momentum": cfg.momentum, "heads": heads, "needs_cameras": row.needs_cameras}
