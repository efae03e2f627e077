"""The choices: each table is one plain dict, from a name in the configuration to a row that says what it stands for.

A row names its function as "module:name", which is imported when it is used: a configuration is checked without paddle.
What others must know about a choice is a field of its row, so that nobody compares names. To add a choice from outside,
put a row into the table before the configuration is loaded; the function may then be the function itself:

    tables.CLUSTERERS["mine"] = tables.Clusterer(my_labels, looks_at_eps=False)
"""

from collections.abc import Mapping
from typing import Any

from ppreid.base.table_rows import (
    Backbone,
    Clusterer,
    ContrastWeights,
    Dataset,
    Detector,
    Distance,
    Engine,
    ExportTarget,
    Layout,
    MemoryUpdate,
    Neighbours,
    Objective,
    Optimizer,
    Pooling,
    Projection,
    Protocol,
    Tracker,
    resolve,
)

__all__ = [
    "Backbone", "Clusterer", "Dataset", "Detector", "Distance", "Engine", "ExportTarget", "Layout", "MemoryUpdate",
    "Neighbours", "Objective", "Optimizer", "Pooling", "Projection", "Protocol", "Tracker", "resolve",
]  # fmt: skip

ISE = "ppreid.ise.objective:ise_objective"
RESNET = "ppreid.models.resnet:resnet"
_RESNET = Backbone(RESNET, keys=("base_width", "last_stride", "frozen_stages"))
_VIT = Backbone(
    "ppreid.models.vit:vit", keys=("base_width", "drop_path", "position_ratio"), gives_vectors=True, has_positions=True
)
_VIT_ICS = _VIT._replace(wants_chunks=True)
MARKET = "ppreid.datasets.market1501"  # and those with its layout
DATASETS = {
    "market1501": Dataset(f"{MARKET}:read_market1501", f"{MARKET}:MARKET1501_COUNTS"),
    "msmt17": Dataset("ppreid.datasets.msmt17:read_msmt17", "ppreid.datasets.msmt17:MSMT17_COUNTS"),
    "dukemtmc": Dataset(f"{MARKET}:read_dukemtmc", f"{MARKET}:DUKEMTMC_COUNTS"),
    "veri776": Dataset(f"{MARKET}:read_veri776", f"{MARKET}:VERI776_COUNTS"),
    "demo": Dataset(f"{MARKET}:read_demo"),
    # a name has the number of the frame within its track, and nothing about when the track began
    "mars_folder": Dataset("ppreid.datasets.mars:read_mars", times_compare=False),
    "camera_folder": Dataset(
        "ppreid.datasets.camera_folder:read_camera_folder", settings="camera_folder", any_folder=True
    ),
}

BACKBONES = {
    "resnet18": _RESNET._replace(settings={"depth": 18}),
    "resnet34": _RESNET._replace(settings={"depth": 34}),
    "resnet50": _RESNET._replace(settings={"depth": 50}),
    "resnet101": _RESNET._replace(settings={"depth": 101}),
    "resnet152": _RESNET._replace(settings={"depth": 152}),
    "resnet50_ibn_a": _RESNET._replace(settings={"depth": 50, "ibn": True}),
    "resnet101_ibn_a": _RESNET._replace(settings={"depth": 101, "ibn": True}),
    "osnet": Backbone("ppreid.models.osnet:osnet", keys=("base_width",)),
    "vit_small": _VIT._replace(settings={"heads": 6}),
    "vit_base": _VIT._replace(settings={"heads": 12}),
    "vit_small_ics": _VIT_ICS._replace(settings={"heads": 6, "conv_stem": True}),
    "vit_base_ics": _VIT_ICS._replace(settings={"heads": 12, "conv_stem": True}),
}

POOLINGS = {
    "avg": Pooling("ppreid.models.reid_net:average_pool"),
    "gem": Pooling("ppreid.models.reid_net:GeMPool", is_layer=True),
    "max": Pooling("ppreid.models.reid_net:max_pool"),
}

NEIGHBOURS = {
    "exact": Neighbours(exact_up_to=float("inf")),
    "certified": Neighbours(exact_up_to=float("inf"), certified=True),
    "ivf": Neighbours(exact_up_to=0, above=("lists",)),
    "nn_descent": Neighbours(exact_up_to=20_000, certified=True, above=("descent",)),  # compiling takes as long as that
    # the time of exact search grows with the square of the number of images (docs/scaling.md has what was measured)
    "auto": Neighbours(exact_up_to=100_000, certified=True, above=("descent", "lists"), shows_recall=True),
}

# Lists of an index that a query looks into: of 894, 32 found 0.93 of the ten nearest, 8 0.85 (benchmarks/search.py).
DEFAULT_PROBES = 32

_LABELS = "ppreid.clustering"
DISTANCES = {
    "jaccard": Distance(f"{_LABELS}.jaccard:jaccard_distance", ("k1", "k2")),
    "camera_jaccard": Distance(f"{_LABELS}.camera_jaccard:camera_jaccard_distance", ("camera",), needs_cameras=True),
    "camera_quota": Distance(f"{_LABELS}.quota:quota_distance", ("k1", "k2", "camera_quota"), needs_cameras=True),
}

CLUSTERERS = {
    "dbscan": Clusterer("ppreid.clustering.labels:dbscan_labels", within_eps=True),
    "hdbscan": Clusterer("ppreid.clustering.alternative_labels:hdbscan_labels", looks_at_eps=False),
    "agglomerative": Clusterer("ppreid.clustering.alternative_labels:agglomerative_labels"),
    "infomap": Clusterer("ppreid.clustering.alternative_labels:infomap_labels", within_eps=True),
}

MEMORY_UPDATES = {
    "hard": MemoryUpdate("ppreid.ise.memory:update_hard"),
    "sequential": MemoryUpdate("ppreid.ise.memory:update_sequential"),
    "chd": MemoryUpdate("ppreid.ise.camera_entropy:update_harmonic", needs_cameras=True, originals=True),
}

CONTRAST_WEIGHTS = {
    "none": ContrastWeights(None),
    "camera_entropy": ContrastWeights("ppreid.ise.camera_entropy:camera_entropy_weights", needs_cameras=True),
}

# the four rows of the paper's ablation; the first is what the others are compared with
OBJECTIVES = {
    "baseline": Objective(
        ISE,
        "Baseline",
        {"supports_in_contrast": False, "label_preserving": False},
        has_supports=False,
        sees_batch=True,
        paper={"market1501": (82.5, 92.5), "msmt17": (30.1, 58.6)},
    ),
    "ise_pli": Objective(
        ISE,
        "ISE (+PIL)",
        {"supports_in_contrast": True, "label_preserving": False},
        sees_batch=True,
        paper={"market1501": (83.9, 93.9), "msmt17": (33.5, 63.9)},
    ),
    "ise_lp": Objective(
        ISE,
        "ISE (+LP)",
        {"supports_in_contrast": False, "label_preserving": True},
        sees_batch=True,
        paper={"market1501": (83.6, 92.7), "msmt17": (31.4, 59.9)},
    ),
    "ise": Objective(
        ISE,
        "ISE (+PIL+LP)",
        {"supports_in_contrast": True, "label_preserving": True},
        sees_batch=True,
        paper={"market1501": (84.7, 94.0), "msmt17": (35.0, 64.7)},
    ),
}

OPTIMIZERS = {
    "adam": Optimizer("ppreid.training.optimizer:adam_with_l2"),
    "sgd": Optimizer("ppreid.training.optimizer:sgd_with_l2", keys=("momentum",)),
}
PROJECTIONS = {
    "auto": Projection("ppreid.report.gather:affordable_map"),
    "pca": Projection("ppreid.report.gather:pca_map"),
    "tsne": Projection("ppreid.report.gather:tsne_map"),
}

ENGINES = {
    # in training what is installed beside ppreid must not move labels, which hang on the last bits of the features
    "auto": Engine(tries=("inference",), when_finished="fastest"),
    "fastest": Engine(tries=("openvino", "inference")),
    "eager": Engine(),
    # an export takes as long as is gained on 100 (ResNet50) to several hundred images, see docs/extraction.md
    "inference": Engine("ppreid.export.inference:inference_forward", from_images=500),
    "openvino": Engine(
        "ppreid.export.openvino_engine:openvino_forward", "openvino", from_images=100, overlaps=True, has_int8=True
    ),
}

PROTOCOLS = {
    "market1501": Protocol("ppreid.evaluation.scores:average_precision"),  # released ISE, scikit-learn
    "market1501_trapezoid": Protocol("ppreid.evaluation.scores:average_precision_trapezoid"),  # data set's MATLAB code
    "fastreid": Protocol("ppreid.evaluation.scores:average_precision_by_rank"),  # ties in a defined order
    "all_queries": Protocol("ppreid.evaluation.scores:average_precision", count_invalid=True),  # an incomplete gallery
}

# ppreid crops --detector NAME, or NAME:PLACE
DETECTORS = {
    "hog": Detector("ppreid.recordings.hog:open_hog", keys=("min_score", "min_height")),
    "onnx": Detector("ppreid.recordings.onnx_detector:open_onnx", place="FILE"),
    "paddle": Detector("ppreid.recordings.paddle_detector:open_paddle", place="FOLDER"),
}

TRACKERS = {"motion": Tracker("ppreid.recordings.tracking:MotionTracker")}

# configuration key -> the table of its choices
CHOICES: dict[str, Mapping[str, Any]] = {
    "data.name": DATASETS,
    "model.backbone": BACKBONES,
    "model.pooling": POOLINGS,
    "labels.neighbours": NEIGHBOURS,
    "labels.distance": DISTANCES,
    "labels.clusterer": CLUSTERERS,
    "memory.update": MEMORY_UPDATES,
    "ise.objective": OBJECTIVES,
    "ise.contrast_weights": CONTRAST_WEIGHTS,
    "solver.optimizer": OPTIMIZERS,
    "report.projection": PROJECTIONS,
    "eval.protocol": PROTOCOLS,
    "eval.engine": ENGINES,
}

PLUGINS: dict[str, Any] = {}  # name -> `ppreid.base.plugins.Plugin`: those that this process has loaded

# what an exported network takes; the first one is the default
LAYOUTS = {
    "nhwc-uint8": Layout(channels_first=False, dtype="uint8"),
    "nchw-float": Layout(channels_first=True, dtype="float32"),
    "nchw-normalised": Layout(channels_first=True, dtype="float32", normalises=False),
}

EXPORT_TARGETS = {
    "ultralytics": ExportTarget("nchw-float", "ppreid.export.inputs:bilinear"),
    "boxmot": ExportTarget(
        "nchw-normalised", "ppreid.export.inputs:bilinear_8bit", sidecar="ppreid.export.trackers:boxmot_sidecar"
    ),
}
