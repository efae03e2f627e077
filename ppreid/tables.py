"""The choices: each is one plain dict, from a name in the configuration to what it stands for.

Names stand in `ppreid.config.choices` as well, and a test holds both equal.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from paddle import nn
from scipy.sparse import csr_matrix

from ppreid.base.records import DatasetContents, ReIDSplit
from ppreid.clustering.alternative_labels import agglomerative_labels, hdbscan_labels, infomap_labels
from ppreid.clustering.labels import dbscan_labels
from ppreid.config.data import DataConfig
from ppreid.config.method import LabelsConfig
from ppreid.datasets.camera_folder import read_camera_folder
from ppreid.datasets.market1501 import (
    DUKEMTMC_COUNTS,
    MARKET1501_COUNTS,
    VERI776_COUNTS,
    read_demo,
    read_dukemtmc,
    read_market1501,
    read_veri776,
)
from ppreid.datasets.msmt17 import MSMT17_COUNTS, read_msmt17
from ppreid.datasets.summary import PublishedCounts
from ppreid.evaluation.protocols import PROTOCOLS
from ppreid.ise.memory import update_hard, update_sequential
from ppreid.ise.objective import LossTerms, ise_objective
from ppreid.models.pooling import GeMPool, average_pool, max_pool
from ppreid.models.resnet import resnet
from ppreid.neighbours.search import METHODS
from ppreid.report.evidence import pca_map, tsne_map
from ppreid.training.pseudo_labels import DistanceMethod, camera_jaccard_method, jaccard_method


class DatasetReader(NamedTuple):
    """How a data set is read, and how large it was published (None: nobody published it)."""

    read: Callable[[DataConfig], DatasetContents]
    published: PublishedCounts | None


def _in_root(read: Callable[[Path], ReIDSplit]) -> Callable[[DataConfig], DatasetContents]:
    """A reader that needs to know nothing but data.root."""
    return lambda cfg: DatasetContents(read(Path(cfg.root)))


def _read_camera_folder(cfg: DataConfig) -> DatasetContents:
    own = cfg.camera_folder
    return read_camera_folder(
        Path(cfg.root),
        camera=own.camera,
        pattern=own.pattern,
        table=Path(own.csv) if own.csv else None,
        unmatched=own.unmatched,
        query=Path(own.query) if own.query else None,
        gallery=Path(own.gallery) if own.gallery else None,
        label_pattern=own.label_pattern,
    )


DATASETS: dict[str, DatasetReader] = {
    "market1501": DatasetReader(_in_root(read_market1501), MARKET1501_COUNTS),
    "msmt17": DatasetReader(_in_root(read_msmt17), MSMT17_COUNTS),
    "dukemtmc": DatasetReader(_in_root(read_dukemtmc), DUKEMTMC_COUNTS),
    "veri776": DatasetReader(_in_root(read_veri776), VERI776_COUNTS),
    "demo": DatasetReader(_in_root(read_demo), None),
    "camera_folder": DatasetReader(_read_camera_folder, None),
}

# (base_width, last_stride) -> images to feature maps
BACKBONES: dict[str, Callable[..., nn.Layer]] = {
    "resnet18": partial(resnet, 18),
    "resnet34": partial(resnet, 34),
    "resnet50": partial(resnet, 50),
    "resnet101": partial(resnet, 101),
    "resnet152": partial(resnet, 152),
    "resnet50_ibn_a": partial(resnet, 50, ibn=True),
    "resnet101_ibn_a": partial(resnet, 101, ibn=True),
}

# () -> feature maps to vectors
POOLINGS: dict[str, Callable[[], Callable]] = {"avg": lambda: average_pool, "gem": GeMPool, "max": lambda: max_pool}

# (the labels section, epoch from 0) -> neighbour search and distance
DISTANCES: dict[str, Callable[[LabelsConfig, int], DistanceMethod]] = {
    "jaccard": lambda cfg, epoch: jaccard_method(
        k1=cfg.k1, k2=cfg.k2, max_distance=_max_distance(cfg), search=cfg.neighbours, num_probes=cfg.num_probes
    ),
    "camera_jaccard": lambda cfg, epoch: camera_jaccard_method(
        k1_intra=cfg.camera.k1_intra,
        k1_inter=cfg.camera.k1_inter,
        k2_intra=cfg.camera.k2_intra if epoch else cfg.camera.k2_intra_first,
        k2_inter=cfg.camera.k2_inter if epoch else cfg.camera.k2_inter_first,
        max_distance=_max_distance(cfg),
        search=cfg.neighbours,
        num_probes=cfg.num_probes,
    ),
}

# (distances, the labels section) -> labels
CLUSTERERS: dict[str, Callable[[csr_matrix, LabelsConfig], np.ndarray]] = {
    "dbscan": lambda distances, cfg: dbscan_labels(distances, eps=cfg.eps, min_samples=cfg.min_samples),
    "hdbscan": lambda distances, cfg: hdbscan_labels(distances, min_samples=cfg.min_samples),
    "agglomerative": lambda distances, cfg: agglomerative_labels(distances, eps=cfg.eps, min_samples=cfg.min_samples),
    "infomap": lambda distances, cfg: infomap_labels(distances, eps=cfg.eps, min_samples=cfg.min_samples),
}
# those that never look at a pair farther than eps, so that such pairs need not be stored
CLUSTERERS_WITHIN_EPS = {"dbscan", "infomap"}

MEMORY_UPDATES: dict[str, Callable[..., object]] = {"hard": update_hard, "sequential": update_sequential}

# the four rows of the paper's ablation
OBJECTIVES: dict[str, Callable[..., LossTerms]] = {
    "baseline": partial(ise_objective, supports_in_contrast=False, label_preserving=False),
    "ise_pli": partial(ise_objective, supports_in_contrast=True, label_preserving=False),
    "ise_lp": partial(ise_objective, supports_in_contrast=False, label_preserving=True),
    "ise": partial(ise_objective, supports_in_contrast=True, label_preserving=True),
}


# features (N, D) to points (N, 2) in the unit square
PROJECTIONS: dict[str, Callable[..., np.ndarray]] = {"pca": pca_map, "tsne": tsne_map}


def choices() -> dict[str, set[str]]:
    """Names that the tables hold now, by configuration key."""
    return {
        "data.name": set(DATASETS),
        "model.backbone": set(BACKBONES),
        "model.pooling": set(POOLINGS),
        "labels.neighbours": set(METHODS),
        "labels.distance": set(DISTANCES),
        "labels.clusterer": set(CLUSTERERS),
        "memory.update": set(MEMORY_UPDATES),
        "ise.objective": set(OBJECTIVES),
        "report.projection": set(PROJECTIONS),
        "eval.protocol": set(PROTOCOLS),
    }


def _max_distance(cfg: LabelsConfig) -> float:
    """Pairs farther than this do not matter to the clusterer."""
    return cfg.eps if cfg.clusterer in CLUSTERERS_WITHIN_EPS else 1.0
