"""From configuration and tracks to the graph that is clustered: its nodes, and those that must be apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord, ids, tracks

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from ppreid.config.method import LabelsConfig
    from ppreid.contracts import Clusterer, Distance


class TrackGraph(NamedTuple):
    """What clustering does with tracks.

    Attributes:
        cfg: the labels section.
        nodes: (N,) node of every image: its track, or itself where it has none.
        apart: (P, 2) nodes that are never one person.
    """

    cfg: LabelsConfig
    nodes: np.ndarray
    apart: np.ndarray

    def distance(self, each: Distance) -> Distance:
        """Features (N, D) and cameras (N,) to distances between what is clustered."""
        from ppreid.clustering.tracks import node_distances

        return partial(node_distances, nodes=self.nodes, distance=each) if self.cfg.unit == "track" else each

    def clusterer(self, each: Clusterer) -> Clusterer:
        """Distances between what is clustered to labels (N,) of the images."""
        from ppreid.clustering.tracks import node_labels

        if self.cfg.unit == "image":
            return self.node_clusterer(each)
        own = self.node_clusterer(each)
        return partial(node_labels, nodes=self.nodes, clusterer=own, min_images=self.cfg.track.min_images)

    def node_clusterer(self, each: Clusterer) -> Clusterer:
        """Distances between what is clustered to its labels."""
        return partial(self._separated, each=each) if self.cfg.cannot_link else each

    def of_nodes(self, values: np.ndarray) -> np.ndarray:
        """What holds for each of what is clustered, from what holds for each image (N,), by its first image."""
        import numpy as np

        return values[np.unique(self.nodes, return_index=True)[1]] if self.cfg.unit == "track" else values

    def _separated(self, distances: csr_matrix, *, each: Clusterer) -> np.ndarray:
        import numpy as np

        from ppreid import tables
        from ppreid.clustering.tracks import separated_labels

        cfg = self.cfg.of_unit()
        return separated_labels(
            each(distances),
            distances,
            self.apart,
            groups=self.nodes if cfg.unit == "image" else np.arange(distances.shape[0]),
            min_samples=cfg.min_samples,
            eps=cfg.eps if tables.CLUSTERERS[cfg.clusterer].looks_at_eps else 1.0,
        )


def require_tracks(numbers: np.ndarray, key: str) -> None:
    """Refuse a key that needs tracks (N,) where none is known.

    Raises:
        DataError: all are -1.
    """
    if (numbers < 0).all():
        raise DataError(
            f"{key} needs images whose track is known, and there is none; give a tracks.csv or data.track_pattern "
            "(docs/own-cameras.md)"
        )


def tracks_to_draw_across(records: Sequence[ImageRecord]) -> np.ndarray:
    """Track (N,) of every image, a number of its own where it has none."""
    from ppreid.clustering.tracks import track_nodes

    numbers = tracks(records)[0]
    require_tracks(numbers, "batch.across: tracks")
    return track_nodes(numbers)


def graph_of_tracks(cfg: LabelsConfig, records: Sequence[ImageRecord], *, shared_clock: bool = False) -> TrackGraph:
    """What clustering does with the tracks of these images; `shared_clock` as in `seen_at_once`.

    Raises:
        DataError: the configuration asks for tracks or their times, and none is known.
    """
    import numpy as np

    from ppreid.clustering.tracks import track_nodes
    from ppreid.datasets.track_times import seen_at_once
    from ppreid.run.log import logger

    numbers, times = tracks(records)
    require_tracks(numbers, "labels.unit: track" if cfg.unit == "track" else "labels.cannot_link")
    if cfg.cannot_link and (times[numbers >= 0] < 0).all():
        raise DataError("labels.cannot_link needs the times of tracks, and none is known; see docs/own-cameras.md")
    nodes = track_nodes(numbers)
    apart = np.empty((0, 2), np.int64)
    if cfg.cannot_link:
        node_of = np.zeros(numbers.max() + 1, np.int64)
        node_of[numbers[numbers >= 0]] = nodes[numbers >= 0]
        apart = node_of[seen_at_once(numbers, times, ids(records)[1], shared_clock=shared_clock)]
    logger.info(
        "tracks: %s, of %s images%s",
        f"{len(set(numbers[numbers >= 0].tolist())):,}",
        f"{(numbers >= 0).sum():,}",
        f"; {len(apart):,} pairs were seen at once" * cfg.cannot_link,
    )
    return TrackGraph(cfg, nodes, apart)
