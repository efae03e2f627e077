"""From configuration to features as they are compared: with colour beside those of the network, centred by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ppreid import wiring
from ppreid.base.records import ImageRecord, ids
from ppreid.run.log import logger

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer
    from PIL import Image

    from ppreid.config.schema import Config
    from ppreid.contracts import ImageFeatures


def compared_features(cfg: Config, model: Layer, *, centred: bool = False, finished: bool = False) -> ImageFeatures:
    """As `feature_extractor`, as far as the configuration says so with colour beside: what a search compares.

    Args:
        cfg: of the network and of the comparison.
        model: the network.
        centred: where the configuration centres by camera, do so by the means of the images themselves.
        finished: see `feature_extractor`.
    """
    extract, settings = wiring.feature_extractor(cfg, model, finished=finished), cfg.eval
    if settings.within_tracks:
        logger.info("eval.within_tracks is of evaluations with labels: these images are compared without it")

    def compared(
        records: Sequence[ImageRecord],
        *,
        description: str = "extract",
        held: Mapping[int, Image.Image] | None = None,
    ) -> np.ndarray:
        features = extract(records, description=description, held=held)
        if settings.colour:
            from ppreid.datasets.colour import colour_features
            from ppreid.evaluation.inputs import beside_colour

            own = colour_features(records, num_workers=cfg.data.num_workers, held=held)
            features = beside_colour(features, own, weight=settings.colour)
        if centred and settings.camera_centre:
            from ppreid.search.centred import centring_of

            camids = ids(records)[1]
            how = {"shrinkage": settings.camera_centre, "colour_weight": settings.colour}
            features = centring_of([features], camids, **how)(features, camids)
        return features

    return compared
