"""Evaluation of a network on query and gallery."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional

from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.training.extract import FeatureLoader, extract_features

Result = TypeVar("Result")


def evaluate_model(
    model: nn.Layer,
    loader: FeatureLoader,
    split: ReIDSplit,
    *,
    rank: Callable[..., Result],
    extract: Callable[..., np.ndarray] = extract_features,
    ranks: Ranks = ALONE,
    description: str = "evaluate",
) -> Result | None:
    """Rank the gallery for every query with the current network.

    Args:
        model: maps images to unit features.
        loader: images of query + gallery, in this order.
        split: data set.
        rank: (query features, gallery features, query pids, gallery pids, query camids, gallery camids) -> result.
        extract: network and loader to features, e.g. `extract_features` with another engine.
        ranks: the processes that share the extraction.
        description: for the progress display.

    Returns:
        What `rank` returned; None on ranks other than 0, where it is not called.
    """
    features = extract(model, loader, ranks=ranks, description=description)
    if not ranks.is_first:
        return None
    num_queries = len(split.query)
    query_pids, query_camids = ids(split.query)
    gallery_pids, gallery_camids = ids(split.gallery)
    return rank(features[:num_queries], features[num_queries:], query_pids, gallery_pids, query_camids, gallery_camids)


class FlipAveraged(nn.Layer):
    """A network whose feature of an image is the mean over the image and its mirror image, of unit norm again."""

    def __init__(self, model: nn.Layer) -> None:
        """Wrap a network; its train/eval mode stays as it is.

        Args:
            model: maps images (B, 3, H, W) to unit features (B, D).
        """
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Map images (B, 3, H, W) to unit features (B, D), in twice the time of the network."""
        mirrored = paddle.flip(images, axis=[3])
        return functional.normalize(self.model(images) + self.model(mirrored), axis=1)


def ids(records: Sequence[ImageRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Identities (N,) and cameras (N,) of records, int64."""
    return (
        np.array([record.pid for record in records], dtype=np.int64),
        np.array([record.camid for record in records], dtype=np.int64),
    )
