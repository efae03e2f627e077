"""From configuration to features in which what changes within the tracks of the training images counts less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ppreid import wiring
from ppreid.base.records import ImageRecord, ReIDSplit, tracks
from ppreid.neighbours.within_tracks import WithinTracks
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.graph import require_tracks

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer

    from ppreid.config.schema import Config
    from ppreid.contracts import Extractor
    from ppreid.wiring.rankings import Mapped


def network_within_tracks(
    cfg: Config, split: ReIDSplit, *, extract: Extractor, ranks: Ranks = ALONE
) -> Callable[[Layer], Mapped | None]:
    """From a network to what `WithinTracks` learns from its features of the training images.

    Args:
        cfg: of the images and of the evaluation.
        split: of whose training part the tracks are read, and no identities.
        extract: network and loader to features, as of query and gallery.
        ranks: the processes that share the extraction; only the first one gets a map.

    Raises:
        DataError: no training image has a known track.
    """
    records = _tracked(split)
    loader = wiring.feature_loader(records, cfg.data, cfg.eval, ranks=ranks)

    def learn(network: Layer) -> Mapped | None:
        features = extract(network, loader, ranks=ranks, description="tracks")
        return _learned(cfg, records, features) if ranks.is_first else None

    return learn


def colour_within_tracks(cfg: Config, split: ReIDSplit) -> Mapped:
    """Colour (n, 768) to unit rows, as `WithinTracks` learns it from training images, which are read when it is used.

    Raises:
        DataError: no training image has a known track.
    """
    records = _tracked(split)
    learned = cache(lambda: _learned(cfg, records, wiring.colour(records, cfg.data)()))
    return lambda rows: learned()(rows)


def _tracked(split: ReIDSplit) -> list[ImageRecord]:
    records = [record for record in split.train if record.track >= 0]
    require_tracks(tracks(records)[0], "eval.within_tracks")
    return records


def _learned(cfg: Config, records: Sequence[ImageRecord], features: np.ndarray) -> Mapped:
    return WithinTracks(features, tracks(records)[0], shrinkage=cfg.eval.within_tracks).of
