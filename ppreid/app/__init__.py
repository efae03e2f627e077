"""The commands as functions, each the story of what it does."""

from ppreid.app.ablation import ablate
from ppreid.app.clustering import cluster
from ppreid.app.convert import convert_weights
from ppreid.app.diagnosis import diagnose
from ppreid.app.evaluation import evaluate
from ppreid.app.exporting import export
from ppreid.app.extraction import extract
from ppreid.app.reporting import report
from ppreid.app.training import train

__all__ = ["ablate", "cluster", "convert_weights", "diagnose", "evaluate", "export", "extract", "report", "train"]
