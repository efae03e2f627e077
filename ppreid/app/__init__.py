"""The commands as functions, each the story of what it does."""

from ppreid.app.ablation import ablate
from ppreid.app.clustering import cluster
from ppreid.app.convert import convert_weights
from ppreid.app.diagnosis import diagnose
from ppreid.app.evaluation import evaluate
from ppreid.app.exporting import export
from ppreid.app.extraction import extract
from ppreid.app.indexing import add_to_index, build_index
from ppreid.app.reporting import report
from ppreid.app.searching import Searcher, search
from ppreid.app.training import train
from ppreid.export.fiftyone import export_fiftyone

__all__ = [
    "Searcher",
    "ablate",
    "add_to_index",
    "build_index",
    "cluster",
    "convert_weights",
    "diagnose",
    "evaluate",
    "export",
    "export_fiftyone",
    "extract",
    "report",
    "search",
    "train",
]
