"""From configuration to what an evaluation compares: features as they are prepared, colour beside them, the ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.data import extractor, feature_loader

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer

    from ppreid.config.data import DataConfig
    from ppreid.config.run import EvaluationSettings
    from ppreid.config.schema import Config, TrainingConfig
    from ppreid.contracts import Extractor, Ranker
    from ppreid.evaluation.ranking import RankingResult

    Mapped = Callable[[np.ndarray], np.ndarray]  # features (n, D) to unit rows (n, D)


class Colours(NamedTuple):
    """Colour of query and gallery, read once and only where somebody asks.

    Attributes:
        of_split: gives it, (Q + G, 768).
        within_tracks: colour (n, 768) to what counts of it; None: all alike.
    """

    of_split: Callable[[], np.ndarray]
    within_tracks: Mapped | None


def colour(records: Sequence[ImageRecord], data: DataConfig) -> Callable[[], np.ndarray]:
    """What gives the colour of images (N, 768), read once and only where somebody asks."""
    from ppreid.datasets.colour import colour_features

    return cache(partial(colour_features, records, num_workers=data.num_workers))


def colours(cfg: Config, split: ReIDSplit) -> Colours:
    """What gives the colour of query and gallery, and the map of it that eval.within_tracks learns.

    Raises:
        DataError: no training image has a known track, and the configuration wants to learn from tracks.
    """
    of_split = colour(split.query + split.gallery, cfg.data)
    if not cfg.eval.within_tracks or not split.query:
        return Colours(of_split, None)
    from ppreid.wiring.within_tracks import colour_within_tracks

    return Colours(of_split, colour_within_tracks(cfg, split))


def prepared(
    cfg: EvaluationSettings, split: ReIDSplit, colours: Colours, mapped: Mapped | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """From features of query and gallery (Q + G, D) to those that are compared, behind maps of network and colour."""
    from ppreid.evaluation.inputs import Preparation, prepared_features

    how = Preparation(camera_centre=cfg.camera_centre, colour_weight=cfg.colour)
    prepare = partial(prepared_features, split=split, how=how)
    of_split, of_tracks = colours
    if mapped is None or of_tracks is None:
        return partial(prepare, colour=of_split)
    return lambda features: prepare(mapped(features), colour=lambda: of_tracks(of_split()))


def ranking(cfg: EvaluationSettings, *, of_prepared: bool = False) -> Ranker[RankingResult]:
    """Features, identities and cameras of query and gallery to metrics; `of_prepared` ones may have colour in them."""
    from ppreid.evaluation import ranking as found

    has_colour = of_prepared and 0 < cfg.colour < 1
    evaluate = found.evaluate_with_network_alone if has_colour else found.evaluate_features
    return partial(evaluate, protocol=cfg.protocol, ignore_camera=cfg.ignore_camera)


def colour_alone(cfg: EvaluationSettings, split: ReIDSplit, colours: Colours) -> Callable[[], dict[str, RankingResult]]:
    """What gives the metrics of colour alone, by the name of their row."""
    from ppreid.evaluation.inputs import colour_rankings

    return partial(colour_rankings, split, colours.of_split, rank=ranking(cfg), mapped=colours.within_tracks)


def track_map(
    cfg: Config, split: ReIDSplit, extract: Extractor, ranks: Ranks = ALONE
) -> Callable[[Layer], Mapped | None]:
    """From a network to the map that eval.within_tracks learns from training images; None where it is off."""
    if not cfg.eval.within_tracks or not split.query:
        return lambda network: None
    from ppreid.wiring.within_tracks import network_within_tracks

    return network_within_tracks(cfg, split, extract=extract, ranks=ranks)


def evaluation(
    cfg: TrainingConfig, split: ReIDSplit, colours: Colours, ranks: Ranks = ALONE
) -> Callable[..., RankingResult | None]:
    """Network to metrics on query and gallery, as training sees it."""
    from ppreid.training.extract import evaluate_model
    from ppreid.wiring.network import from_images

    loader = feature_loader(split.query + split.gallery, cfg.data, cfg.eval, ranks=ranks)
    extract = extractor(cfg.eval, flip=cfg.eval.flip)
    rank, learn = ranking(cfg.eval, of_prepared=True), track_map(cfg, split, extract, ranks)
    evaluate = partial(evaluate_model, loader=loader, split=split, rank=rank, extract=extract, ranks=ranks)

    def evaluated(model: Layer, *, description: str = "evaluate") -> RankingResult | None:
        network = from_images(cfg, model)
        prepare = prepared(cfg.eval, split, colours, learn(network))
        return evaluate(network, prepare=prepare, description=description)

    return evaluated
