"""Evaluation of a network on query and gallery."""

from typing import TypeVar

from paddle import nn

from ppreid.base.records import ReIDSplit, ids
from ppreid.contracts import Extractor, FeatureLoader, Ranker
from ppreid.processes.ranks import ALONE, Ranks
from ppreid.training.extract import extract_features

Result = TypeVar("Result")


def evaluate_model(
    model: nn.Layer,
    loader: FeatureLoader,
    split: ReIDSplit,
    *,
    rank: Ranker[Result],
    extract: Extractor = extract_features,
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
    # ranking is quick beside extraction, and one process has all features
    if not ranks.is_first:
        return None
    # one pass over both, so that two short loaders need not start and end their workers
    num_queries = len(split.query)
    query_pids, query_camids = ids(split.query)
    gallery_pids, gallery_camids = ids(split.gallery)
    return rank(features[:num_queries], features[num_queries:], query_pids, gallery_pids, query_camids, gallery_camids)
