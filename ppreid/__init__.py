"""ppreid: unsupervised person re-identification with ISE on PaddlePaddle.

    person = ppreid.load("output/demo")                      # docs/python-api.md
    from ppreid import jaccard_distance, dbscan_labels

What users call is importable from here, wherever its file lives, and is imported when it is asked for: importing this
package imports neither paddle nor numpy.
"""

import zlib as _zlib  # noqa: F401 - paddle 2.6 crashes in PNG reading when it is loaded before zlib
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppreid.api.person import Person as Person
    from ppreid.api.person import load as load
    from ppreid.api.runs import cluster as cluster
    from ppreid.api.runs import evaluate as evaluate
    from ppreid.api.runs import make_index as make_index
    from ppreid.api.runs import open_index as open_index
    from ppreid.api.runs import train as train
    from ppreid.base.records import ImageRecord as ImageRecord
    from ppreid.base.records import ReIDSplit as ReIDSplit
    from ppreid.clustering.camera_jaccard import camera_jaccard_distance as camera_jaccard_distance
    from ppreid.clustering.jaccard import jaccard_distance as jaccard_distance
    from ppreid.clustering.labels import cluster_centroids as cluster_centroids
    from ppreid.clustering.labels import dbscan_labels as dbscan_labels
    from ppreid.config.load import load_config as load_config
    from ppreid.contracts import LossTerms as LossTerms
    from ppreid.evaluation.ranking import RankingResult as RankingResult
    from ppreid.evaluation.ranking import evaluate_distances as evaluate_distances
    from ppreid.evaluation.ranking import evaluate_features as evaluate_features
    from ppreid.evaluation.rerank import rerank as rerank
    from ppreid.ise.memory import ClusterMemory as ClusterMemory
    from ppreid.ise.memory import update_hard as update_hard
    from ppreid.ise.memory import update_sequential as update_sequential
    from ppreid.ise.objective import cluster_contrast_loss as cluster_contrast_loss
    from ppreid.ise.objective import ise_objective as ise_objective
    from ppreid.ise.objective import label_preserving_loss as label_preserving_loss
    from ppreid.ise.support_samples import pli_degree as pli_degree
    from ppreid.ise.support_samples import support_samples as support_samples
    from ppreid.neighbours.search import nearest_neighbours as nearest_neighbours
    from ppreid.verbs.command import load_plugins as load_plugins

__version__ = "0.1.0"

# the same as above, for the interpreter; a test holds both equal
_HOMES = {
    "ClusterMemory": "ise.memory",
    "ImageRecord": "base.records",
    "LossTerms": "contracts",
    "Person": "api.person",
    "RankingResult": "evaluation.ranking",
    "ReIDSplit": "base.records",
    "camera_jaccard_distance": "clustering.camera_jaccard",
    "cluster": "api.runs",
    "cluster_centroids": "clustering.labels",
    "cluster_contrast_loss": "ise.objective",
    "dbscan_labels": "clustering.labels",
    "evaluate": "api.runs",
    "evaluate_distances": "evaluation.ranking",
    "evaluate_features": "evaluation.ranking",
    "ise_objective": "ise.objective",
    "jaccard_distance": "clustering.jaccard",
    "label_preserving_loss": "ise.objective",
    "load": "api.person",
    "load_config": "config.load",
    "load_plugins": "verbs.command",
    "make_index": "api.runs",
    "nearest_neighbours": "neighbours.search",
    "open_index": "api.runs",
    "pli_degree": "ise.support_samples",
    "rerank": "evaluation.rerank",
    "support_samples": "ise.support_samples",
    "train": "api.runs",
    "update_hard": "ise.memory",
    "update_sequential": "ise.memory",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ppreid' has no attribute {name!r}")
    from ppreid.run.log import root_logger_kept

    with root_logger_kept():
        value = getattr(import_module(f"ppreid.{_HOMES[name]}"), name)
    globals()[name] = value  # the next time it is found without this function
    return value


def __dir__() -> list[str]:
    """Names for interactive completion."""
    return sorted({*globals(), *__all__})
