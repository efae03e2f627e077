"""From configuration to what compares features of query and gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from ppreid.processes.ranks import ALONE, Ranks
from ppreid.wiring.data import feature_loader

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer

    from ppreid.base.records import ImageRecord, ReIDSplit
    from ppreid.config.data import DataConfig
    from ppreid.config.run import EvaluationSettings
    from ppreid.config.schema import Config, TrainingConfig
    from ppreid.contracts import Extractor, ImageFeatures, Ranker, Twin
    from ppreid.evaluation.ranking import RankingResult
    from ppreid.models.reid_net import ReIDNet


def extractor(settings: EvaluationSettings) -> Extractor:
    """Network and loader to features (N, D)."""
    from ppreid.training.extract import extract_features

    return partial(extract_features, engine=settings.engine, precision=settings.precision)


def extraction(
    cfg: TrainingConfig, records: Sequence[ImageRecord], twin: Twin | None = None, ranks: Ranks = ALONE
) -> Callable[[Layer], np.ndarray]:
    """Network to features of the training images, for which its twin may stand in."""
    extract = partial(extractor(cfg.eval), loader=feature_loader(records, cfg.data, cfg.eval, ranks=ranks), ranks=ranks)
    network = twin.network if twin and cfg.ema.cluster else None
    if cfg.refine.has_parts:
        from ppreid.models.parts import AllHeads

        return lambda model: extract(AllHeads(network or model))
    return lambda model: extract(network or model)


def feature_extractor(cfg: Config, model: ReIDNet) -> ImageFeatures:
    """A function of images and a description of the progress, which gives their features (N, D) with this network."""

    def extract(records: Sequence[ImageRecord], *, description: str = "extract") -> np.ndarray:
        loader = feature_loader(records, cfg.data, cfg.eval)
        return extractor(cfg.eval)(model, loader, description=description)

    return extract


def colour(records: Sequence[ImageRecord], data: DataConfig) -> Callable[[], np.ndarray]:
    """What gives the colour of images (N, 768), read once and only where somebody asks."""
    from ppreid.datasets.colour import colour_features

    return cache(partial(colour_features, records, num_workers=data.num_workers))


def prepared(
    cfg: EvaluationSettings, split: ReIDSplit, colour_of_split: Callable[[], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """From features of query and gallery (Q + G, D) to those that are compared."""
    from ppreid.evaluation.inputs import Preparation, prepared_features

    return partial(
        prepared_features,
        split=split,
        how=Preparation(camera_centre=cfg.camera_centre, colour_weight=cfg.colour),
        colour=colour_of_split,
    )


def ranking(cfg: EvaluationSettings) -> Ranker[RankingResult]:
    """Features, identities and cameras of query and gallery to metrics."""
    from ppreid.evaluation.ranking import evaluate_features

    return partial(evaluate_features, protocol=cfg.protocol, ignore_camera=cfg.ignore_camera)


def colour_alone(
    cfg: EvaluationSettings, split: ReIDSplit, colour_of_split: Callable[[], np.ndarray]
) -> Callable[[], dict[str, RankingResult]]:
    """What gives the metrics of colour alone, by the name of their row."""
    from ppreid.evaluation.inputs import colour_rankings

    return partial(colour_rankings, split, colour_of_split, rank=ranking(cfg))


def evaluation(
    cfg: TrainingConfig, split: ReIDSplit, colour_of_split: Callable[[], np.ndarray], ranks: Ranks = ALONE
) -> Callable[..., RankingResult | None]:
    """Network to metrics on query and gallery, as training sees it."""
    from ppreid.training.extract import evaluate_model

    return partial(
        evaluate_model,
        loader=feature_loader(split.query + split.gallery, cfg.data, cfg.eval, ranks=ranks),
        split=split,
        rank=ranking(cfg.eval),
        extract=extractor(cfg.eval),
        prepare=prepared(cfg.eval, split, colour_of_split),
        ranks=ranks,
    )
