"""From configuration to what other values of eps would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError
from ppreid.base.progress import Stopwatch
from ppreid.base.records import ImageRecord, ids

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from ppreid.clustering.sweep import SweepRow
    from ppreid.config.schema import TrainingConfig


def swept(
    cfg: TrainingConfig, features: np.ndarray, records: Sequence[ImageRecord], values: Sequence[float]
) -> tuple[list[SweepRow], int]:
    """Cluster features with several eps: one computation of distances, then one clustering each.

    Args:
        cfg: how features are clustered.
        features: (N, D).
        records: their images.
        values: of eps.

    Returns:
        One row for each eps, and the number of things that are clustered: images, or tracks.

    Raises:
        ConfigError: the clusterer does not look at eps.
        DataError: see `wiring.track_graph`.
    """
    from ppreid.clustering.sweep import sweep_eps

    name = cfg.labels.clusterer
    if not tables.CLUSTERERS[name].looks_at_eps:
        raise ConfigError(f"labels.clusterer is {name!r}, which does not look at eps; there is nothing to sweep")
    settings = cfg.labels.model_copy(update={"eps": max(values)})
    graph = wiring.track_graph(settings, records, shared_clock=cfg.data.shared_clock)
    pids, camids = ids(records)
    distances = wiring.distance(settings, epoch=1, graph=graph)(features, camids, stopwatch=Stopwatch())

    def at(distances: csr_matrix, *, eps: float, min_samples: int) -> np.ndarray:
        changed = settings.model_copy(update={"eps": eps, "min_samples": min_samples})
        clusterer = wiring.clusterer(changed)
        return (graph._replace(cfg=changed).node_clusterer(clusterer) if graph else clusterer)(distances)

    known = (graph.of_nodes(pids) if graph else pids) if (pids >= 0).any() else None
    return sweep_eps(distances, values, min_samples=settings.min_samples, pids=known, cluster=at), distances.shape[0]
