"""From configuration to images and features: the data set, what reads it, and what compares query and gallery."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppreid import tables
from ppreid.base.errors import DataError, PpreidWarning
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.processes.ranks import ALONE, Ranks

if TYPE_CHECKING:
    import numpy as np
    from paddle.nn import Layer
    from PIL import Image

    from ppreid.config.data import DataConfig
    from ppreid.config.run import EvaluationSettings
    from ppreid.config.schema import TrainingConfig
    from ppreid.contracts import Extractor, FeatureLoader
    from ppreid.datasets.loader import EvalLoader, TrainLoader
    from ppreid.datasets.summary import PublishedCounts
    from ppreid.wiring.frozen import KeptMaps


def dataset(cfg: DataConfig) -> DatasetContents:
    """Read the data set that the data section names.

    Raises:
        DataError: it is missing or incomplete.
    """
    row = tables.DATASETS[cfg.name]
    settings = getattr(cfg, row.settings).model_dump() if row.settings else {}
    found = tables.resolve(row.read)(Path(cfg.root), **settings)
    contents = DatasetContents(found) if isinstance(found, ReIDSplit) else found
    if not cfg.track_pattern:
        return contents
    from ppreid.datasets.tracks import with_tracks_of_names

    return with_tracks_of_names(contents, root=Path(cfg.root), pattern=cfg.track_pattern, frame_rate=cfg.frame_rate)


def require_cameras(cfg: TrainingConfig, records: Sequence[ImageRecord]) -> None:
    """Refuse training images without a camera where something needs the camera of every one.

    Raises:
        DataError: a camera is unknown; the message names the key and the first image.

    Warns:
        PpreidWarning: all images are of one camera, so that nothing can be learned across cameras.
    """
    needing = [f"{key} {value}" for key, value in cfg.needing_cameras().items()]
    unknown = [record.path for record in records if record.camid < 0]
    if needing and unknown:
        raise DataError(
            f"{', '.join(needing)}: the camera of every training image must be known, and {len(unknown):,} of "
            f"{len(records):,} have none (first: {unknown[0]}); name the cameras, see docs/datasets.md, or choose "
            "other values"
        )
    if needing and len({record.camid for record in records}) == 1:
        text = f"all training images are of one camera: {', '.join(needing)} cannot learn anything across cameras"
        warnings.warn(text, PpreidWarning, stacklevel=2)


def published_counts(cfg: DataConfig) -> PublishedCounts | None:
    """How large the data set was published; None: nobody published it."""
    published = tables.DATASETS[cfg.name].published
    return tables.resolve(published) if published else None


def feature_loader(
    records: Sequence[ImageRecord],
    data: DataConfig,
    settings: EvaluationSettings,
    *,
    rows: range | None = None,
    held: Mapping[int, Image.Image] | None = None,
    ranks: Ranks = ALONE,
) -> EvalLoader:
    """All images, or those of some rows, once, in order, without augmentation; of several processes each reads a share.

    Those in `held`, by row, are in memory and not in the files of their records.
    """
    from ppreid.datasets import image_dataset, loader, transforms

    transform = partial(transforms.eval_transform, height=data.height, width=data.width, mean=data.mean, std=data.std)
    dataset = image_dataset.ImageDataset(records, transform, held=held)
    return loader.eval_loader(
        dataset,
        batch_size=settings.batch_size,
        image_shape=(3, data.height, data.width),
        rows=rows,
        num_workers=data.num_workers,
        worker_timeout=data.worker_timeout,
        rank=ranks.rank,
        num_ranks=ranks.count,
    )


def train_loader(
    records: Sequence[ImageRecord], cfg: TrainingConfig, ranks: Ranks = ALONE, maps: KeptMaps | None = None
) -> TrainLoader:
    """Augmented batches of identities x images, or of their maps."""
    from ppreid.datasets import image_dataset, loader, transforms

    across = None
    if cfg.batch.across == "tracks":
        from ppreid.wiring.graph import tracks_to_draw_across

        across = tracks_to_draw_across(records)
    transform = partial(
        transforms.train_transform,
        height=cfg.data.height,
        width=cfg.data.width,
        **cfg.augment.model_dump(exclude={"style_mix"}),
        mean=cfg.data.mean,
        std=cfg.data.std,
    )
    if maps:
        dataset = image_dataset.ImageDataset(records, maps.transform, seed=cfg.seed, held=maps.rows)
    else:
        dataset = image_dataset.ImageDataset(records, transform, seed=cfg.seed)
    return loader.TrainLoader(
        dataset,
        identities=cfg.batch.identities,
        images=cfg.batch.images,
        num_batches=cfg.solver.iters,
        across=across,
        image_shape=maps.shape if maps else (3, cfg.data.height, cfg.data.width),
        num_workers=cfg.data.num_workers,
        worker_timeout=cfg.data.worker_timeout,
        rank=ranks.rank,
        num_ranks=ranks.count,
    )


def extractor(settings: EvaluationSettings, *, finished: bool = False, flip: bool = False) -> Extractor:
    """Network and loader to features (N, D).

    Args:
        settings: the engine and its precision.
        finished: the network is not trained any more, and whatever is fastest here runs it.
        flip: average the features of every image and its mirror image.
    """
    from ppreid.training.extract import extract_features

    engine = finished_engine(settings) if finished else settings.engine
    extract = partial(extract_features, engine=engine, precision=settings.precision)
    if not flip:
        return extract
    from ppreid.models.flip import FlipAveraged

    def flipped(model: Layer, /, loader: FeatureLoader, **given: Any) -> np.ndarray:  # noqa: ANN401 - as `extract`
        return extract(FlipAveraged(model), loader, **given)

    return flipped


def finished_engine(settings: EvaluationSettings) -> str:
    """What runs a network that is not trained, and gives no pseudo labels."""
    return tables.ENGINES[settings.engine].when_finished or settings.engine
