"""What the report of a run without labels shows beside the rest: which eps the features of its network would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ppreid import tables, wiring
from ppreid.base.records import ImageRecord
from ppreid.clustering.sweep import EpsAdvice, advised_eps

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer
    from PIL import Image

    from ppreid.base.records import ReIDSplit
    from ppreid.config.schema import TrainingConfig
    from ppreid.contracts import ImageFeatures

MAX_IMAGES = 3000  # beyond, a sweep takes minutes, and the neighbours of a part of the images are not those of all
_EPS = tuple(round(0.2 + 0.05 * step, 2) for step in range(13))  # 0.2 to 0.8


def unlabelled_evidence(cfg: TrainingConfig, split: ReIDSplit, model: Layer) -> tuple[ImageFeatures, EpsAdvice | None]:
    """Extract the training images once for all that is shown of them.

    Args:
        cfg: of the run.
        split: its data set.
        model: its network.

    Returns:
        What gives features, from memory where it has them; and the eps that a sweep recommends, None where there are
        more than MAX_IMAGES images or the clusterer does not look at eps.
    """
    extract = wiring.feature_extractor(cfg, model)
    if len(split.train) > MAX_IMAGES or not tables.CLUSTERERS[cfg.labels.clusterer].looks_at_eps:
        return extract, None
    from ppreid.wiring.sweep import swept

    features = extract(split.train, description="report: training images")
    rows, count = swept(cfg, features, split.train, _EPS)
    return _remembered(extract, split.train, features), advised_eps(rows, count)


def _remembered(extract: ImageFeatures, records: Sequence[ImageRecord], features: np.ndarray) -> ImageFeatures:
    """As `extract`, without reading the images again whose features (N, D) are known."""
    rows = {record.path: row for row, record in enumerate(records)}

    def known(
        records: Sequence[ImageRecord],
        *,
        description: str = "extract",
        held: Mapping[int, Image.Image] | None = None,
    ) -> np.ndarray:
        if all(record.path in rows for record in records):
            return features[[rows[record.path] for record in records]]
        return extract(records, description=description, held=held)

    return known
