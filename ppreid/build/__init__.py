"""From names and configuration to objects: the only place that knows every part.

Each choice is one plain dict. To add one from outside, put your function into the table before loading the
configuration, and tell the loader which names there are now:

    build.CLUSTERERS["mine"] = lambda distances, cfg: my_labels(distances, cfg.eps)
    cfg = load_config("my.yaml", choices=build.choices())
"""

from ppreid.build.objects import (
    bn_chunks_per_pass,
    cluster_memory,
    clusterer,
    distance,
    extractor,
    feature_loader,
    finite_guard,
    forward,
    objective,
    ranking,
    reid_net,
    schedule,
    train_loader,
)
from ppreid.build.scaling import scaled_to_devices
from ppreid.build.tables import (
    BACKBONES,
    CLUSTERERS,
    CLUSTERERS_WITHIN_EPS,
    DATASETS,
    DISTANCES,
    MEMORY_UPDATES,
    OBJECTIVES,
    POOLINGS,
    PROJECTIONS,
    DatasetReader,
    choices,
)

__all__ = [
    "BACKBONES",
    "CLUSTERERS",
    "CLUSTERERS_WITHIN_EPS",
    "DATASETS",
    "DISTANCES",
    "MEMORY_UPDATES",
    "OBJECTIVES",
    "POOLINGS",
    "PROJECTIONS",
    "DatasetReader",
    "bn_chunks_per_pass",
    "choices",
    "cluster_memory",
    "clusterer",
    "distance",
    "extractor",
    "feature_loader",
    "finite_guard",
    "forward",
    "objective",
    "ranking",
    "reid_net",
    "scaled_to_devices",
    "schedule",
    "train_loader",
]
