"""From configuration to features as they are compared: behind maps of tracks, with colour beside, centred by camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ppreid import wiring
from ppreid.base.records import ImageRecord, ReIDSplit, ids
from ppreid.search.centred import CENTRED
from ppreid.search.track_maps import WITHIN_TRACKS

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer
    from PIL import Image

    from ppreid.config.schema import Config
    from ppreid.contracts import ImageFeatures
    from ppreid.wiring.rankings import Mapped

# facts of what is compared, as CENTRED and WITHIN_TRACKS
COLOUR_SHARE, MIRRORED, LEARNED_FROM = "share of colour", "mirror images", "tracks of"


def compared_by(cfg: Config, split: ReIDSplit | None = None) -> dict[str, str]:
    """What decides how features are compared, by name; nothing where it is the cosine of the network's.

    Args:
        cfg: of the comparison.
        split: from whose training part maps of tracks are learned, where they are; None says nothing of them.

    Raises:
        DataError: there are to be such maps, and no training image has a known track.
    """
    settings = cfg.eval
    numbers = {COLOUR_SHARE: settings.colour, CENTRED: settings.camera_centre, WITHIN_TRACKS: settings.within_tracks}
    found = {name: f"{value:g}" for name, value in numbers.items() if value}
    if settings.flip:
        found[MIRRORED] = "averaged"
    if settings.within_tracks and split:
        from ppreid.wiring.within_tracks import learned_from

        found[LEARNED_FROM] = learned_from(cfg, split)
    return found


def compared_features(
    cfg: Config,
    model: Layer,
    *,
    maps: Mapping[str, Mapped] | None = None,
    split: ReIDSplit | None = None,
    centred: bool = False,
    finished: bool = False,
) -> ImageFeatures:
    """As `feature_extractor`, with all that the configuration says of comparisons: what a search compares.

    Args:
        cfg: of the network and of the comparison.
        model: the network.
        maps: see `compared_rows`; None: what eval.within_tracks wants is learned here.
        split: from whose training part it is learned.
        centred: where the configuration centres by camera, do so by the means of the images themselves.
        finished: see `feature_extractor`.

    Raises:
        DataError: maps are to be learned, and the tracks of the training images do not tell any.
    """
    settings, known = cfg.eval, maps or {}
    if maps is None and split and settings.within_tracks:
        from ppreid.wiring.within_tracks import learned_maps

        known = learned_maps(cfg, split, model)
    extract = wiring.feature_extractor(cfg, model, finished=finished, flip=settings.flip)

    def compared(
        records: Sequence[ImageRecord],
        *,
        description: str = "extract",
        held: Mapping[int, Image.Image] | None = None,
    ) -> np.ndarray:
        from ppreid.datasets.colour import colour_features

        def colour() -> np.ndarray:
            return colour_features(records, num_workers=cfg.data.num_workers, held=held)

        features = extract(records, description=description, held=held)
        features = compared_rows(features, colour, weight=settings.colour, maps=known)
        if centred and settings.camera_centre:
            from ppreid.search.centred import centring_of

            camids = ids(records)[1]
            how = {"shrinkage": settings.camera_centre, "colour_weight": settings.colour}
            features = centring_of([features], camids, **how)(features, camids)
        return features

    return compared


def compared_rows(
    features: np.ndarray, colour: Callable[[], np.ndarray], *, weight: float, maps: Mapping[str, Mapped]
) -> np.ndarray:
    """Features (n, D) of images as a search stores and compares them, but for centring by camera.

    Args:
        features: of the network.
        colour: gives the colour (n, 768) of the same images; called only where it is used.
        weight: share of colour in the similarity.
        maps: of the network's features and of colour, by their names; without any they stay as they are.

    Returns:
        Unit rows (n, D), or (n, D + 768) where colour has a share.
    """
    from ppreid.evaluation.inputs import beside_colour
    from ppreid.search.track_maps import OF_COLOUR, OF_NETWORK

    own = maps[OF_NETWORK](features) if maps else features
    if not weight:
        return own
    return beside_colour(own, maps[OF_COLOUR](colour()) if maps else colour(), weight=weight)
