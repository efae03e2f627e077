"""From configuration to features in which what changes within the tracks of the training images counts less."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ppreid import wiring
from ppreid.base.records import ReIDSplit, tracks
from ppreid.neighbours.within_tracks import WithinTracks
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.graph import require_tracks

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer

    from ppreid.config.schema import Config
    from ppreid.contracts import Extractor


class Maps(NamedTuple):
    """Features (n, D), and colour (n, 768), to unit rows of the same shape."""

    network: Callable[[np.ndarray], np.ndarray]
    colour: Callable[[np.ndarray], np.ndarray]


def maps_within_tracks(
    cfg: Config, split: ReIDSplit, *, extract: Extractor, ranks: Ranks = ALONE
) -> Callable[[Layer], Maps | None]:
    """From a network to what `WithinTracks` learns from its features of the training images.

    Args:
        cfg: of the images and of the evaluation.
        split: of whose training part the tracks are read, and no identities.
        extract: network and loader to features.
        ranks: the processes that share the extraction; only the first one gets maps.

    Raises:
        DataError: no training image has a known track.
    """
    records = [record for record in split.train if record.track >= 0]
    numbers = tracks(records)[0]
    require_tracks(numbers, "eval.within_tracks")
    loader = wiring.feature_loader(records, cfg.data, cfg.eval, ranks=ranks)

    def learned(features: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return WithinTracks(features, numbers, shrinkage=cfg.eval.within_tracks).of

    of_colour = cache(lambda: learned(wiring.colour(records, cfg.data)()))

    def learn(network: Layer) -> Maps | None:
        if cfg.eval.flip:
            from ppreid.models.flip import FlipAveraged

            network = FlipAveraged(network)
        features = extract(network, loader, ranks=ranks, description="tracks")
        return Maps(learned(features), lambda rows: of_colour()(rows)) if ranks.is_first else None

    return learn
