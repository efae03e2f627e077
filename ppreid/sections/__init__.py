"""The sections of a configuration: every key with its type, range, default and meaning.

Sections are pydantic models: unknown keys are refused, values are checked, instances are frozen.
"""

from ppreid.sections.base import PositiveInt, Probability, Section
from ppreid.sections.camera_folder import CameraFolderConfig
from ppreid.sections.data import AugmentConfig, DataConfig
from ppreid.sections.evaluation import EvaluationSettings, TrainingEvaluationSettings
from ppreid.sections.labels import CameraJaccardConfig, ISEConfig, LabelsConfig, MemoryConfig
from ppreid.sections.model import EvaluationModelConfig, ModelConfig
from ppreid.sections.report import ReportConfig
from ppreid.sections.training import AmpConfig, BatchConfig, CheckpointConfig, LogConfig, SolverConfig

__all__ = [
    "AmpConfig",
    "AugmentConfig",
    "BatchConfig",
    "CameraFolderConfig",
    "CameraJaccardConfig",
    "CheckpointConfig",
    "DataConfig",
    "EvaluationModelConfig",
    "EvaluationSettings",
    "ISEConfig",
    "LabelsConfig",
    "LogConfig",
    "MemoryConfig",
    "ModelConfig",
    "PositiveInt",
    "Probability",
    "ReportConfig",
    "Section",
    "SolverConfig",
    "TrainingEvaluationSettings",
]
