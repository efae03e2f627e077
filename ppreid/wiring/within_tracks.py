"""From configuration to features in which what changes within the tracks of the training images counts less."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid import wiring
from ppreid.base.records import ImageRecord, ReIDSplit, tracks
from ppreid.datasets.summary import contents_digest
from ppreid.neighbours.within_tracks import WithinTracks
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.run.log import logger
from ppreid.search.track_maps import OF_COLOUR, OF_NETWORK, are_made_with, read_maps, write_maps
from ppreid.wiring.graph import require_tracks

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer

    from ppreid.config.schema import Config
    from ppreid.contracts import Extractor
    from ppreid.models.reid_net import ReIDNet
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


def learned_maps(cfg: Config, split: ReIDSplit, network: Layer) -> dict[str, WithinTracks]:
    """What a comparison without labels learns from tracks, as evaluations do; nothing where eval.within_tracks is off.

    Args:
        cfg: of the images and of the comparison.
        split: of whose training part the tracks are read.
        network: with its weights.

    Returns:
        The map of the network's features and, where colour has a share, that of colour, each by its name.

    Raises:
        DataError: no training image has a known track, or no track has two images that differ.
    """
    if not cfg.eval.within_tracks:
        return {}
    records = _tracked(split)
    logger.info("eval.within_tracks: features of %s training images are extracted, to learn from", f"{len(records):,}")
    extract = wiring.extractor(cfg.eval, finished=True, flip=cfg.eval.flip)
    of = {OF_NETWORK: extract(network, wiring.feature_loader(records, cfg.data, cfg.eval), description="tracks")}
    if cfg.eval.colour:
        of[OF_COLOUR] = wiring.colour(records, cfg.data)()
    return {name: _learned(cfg, records, features) for name, features in of.items()}


def learn_and_keep(
    path: Path, cfg: Config, split: ReIDSplit, network: ReIDNet, facts: Mapping[str, str]
) -> dict[str, WithinTracks]:
    """What `learned_maps` gives, written to a file; what an interrupted call with the same facts wrote is read."""
    if not are_made_with(path, facts):
        write_maps(path, learned_maps(cfg, split, network), facts)
    return kept_maps(path, cfg, dim=network.feature_dim)


def kept_maps(path: Path, cfg: Config, *, dim: int) -> dict[str, WithinTracks]:
    """What `learn_and_keep` wrote for a network with features of this dimension.

    Raises:
        DataError: there is something else in the file.
    """
    from ppreid.datasets.colour import COLOUR_DIM

    return read_maps(path, {OF_NETWORK: dim, **({OF_COLOUR: COLOUR_DIM} if cfg.eval.colour else {})})


def learned_from(cfg: Config, split: ReIDSplit) -> str:
    """The images and tracks that decide the maps of a network, as a fact to compare: how many, and a digest."""
    records = _tracked(split)
    found = f"{contents_digest(records, num_workers=cfg.data.num_workers)} {tracks(records)[0].tolist()}"
    return f"{len(records):,} images, {hashlib.sha256(found.encode()).hexdigest()[:16]}"


def _tracked(split: ReIDSplit) -> list[ImageRecord]:
    records = [record for record in split.train if record.track >= 0]
    require_tracks(tracks(records)[0], "eval.within_tracks")
    return records


def _learned(cfg: Config, records: Sequence[ImageRecord], features: np.ndarray) -> WithinTracks:
    return WithinTracks.learned(features, tracks(records)[0], shrinkage=cfg.eval.within_tracks)
