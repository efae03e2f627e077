"""The two kinds of configuration files: `task: train` and `task: evaluate`.

An evaluation file has only the keys that evaluation reads, so that a key without effect is an error. Reading files is
the business of `ppreid.config.load`.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ppreid.config.data import AugmentConfig, DataConfig
from ppreid.config.method import EvaluationModelConfig, ISEConfig, LabelsConfig, MemoryConfig, ModelConfig
from ppreid.config.run import (
    AmpConfig,
    BatchConfig,
    CheckpointConfig,
    EvaluationSettings,
    LogConfig,
    ReportConfig,
    SolverConfig,
    TrainingEvaluationSettings,
)
from ppreid.config.section import Section


class RunConfig(Section):
    """What every task has."""

    output_dir: str = "output/run"
    """Folder for everything that the run writes."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|gpu(:\d+)?)$")] = "auto"
    """auto (a GPU if there is one), cpu, gpu or gpu:N."""
    data: DataConfig = DataConfig()


class EvaluationConfig(RunConfig):
    """Everything that `tools/eval.py` reads."""

    task: Literal["evaluate"] = "evaluate"
    """What the file is for."""
    model: EvaluationModelConfig = EvaluationModelConfig()
    eval: EvaluationSettings = EvaluationSettings()


class TrainingConfig(RunConfig):
    """Everything that `tools/train.py` reads; `tools/eval.py` takes it as well and uses its part of it."""

    task: Literal["train"] = "train"
    """What the file is for."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """The one seed from which all randomness derives."""
    deterministic: bool = False
    """On a GPU, ask for kernels that give the same result in every run, which may be slower; a CPU needs no asking."""
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    labels: LabelsConfig = LabelsConfig()
    memory: MemoryConfig = MemoryConfig()
    ise: ISEConfig = ISEConfig()
    batch: BatchConfig = BatchConfig()
    solver: SolverConfig = SolverConfig()
    amp: AmpConfig = AmpConfig()
    eval: TrainingEvaluationSettings = TrainingEvaluationSettings()
    log: LogConfig = LogConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _check_together(self) -> "TrainingConfig":
        """Refuse values that are fine alone but not together."""
        rows = self.batch.identities * self.batch.images
        problems = []
        if self.labels.k2 > self.labels.k1:
            problems.append(f"labels.k2 is {self.labels.k2} and labels.k1 is {self.labels.k1}; k2 must not exceed k1")
        if rows % self.model.bn_chunks:
            problems.append(f"model.bn_chunks is {self.model.bn_chunks}; it must divide the batch of {rows} images")
        if rows // self.model.bn_chunks < 2:
            problems.append(f"a batch of {rows} images in {self.model.bn_chunks} parts cannot be normalised; use more")
        is_without_cameras = self.data.name == "camera_folder" and self.data.camera_folder.camera == "none"
        if is_without_cameras and self.labels.distance == "camera_jaccard":
            problems.append("labels.distance camera_jaccard needs cameras, but data.camera_folder.camera is none")
        if self.model.bn_chunks % self.batch.accumulate:
            problems.append(
                f"batch.accumulate is {self.batch.accumulate} and model.bn_chunks is {self.model.bn_chunks}; "
                "it must divide model.bn_chunks, because each part of the batch is normalised by itself"
            )
        if problems:
            raise PydanticCustomError("inconsistent", "{reason}", {"reason": "; ".join(problems)})
        return self


Config = TrainingConfig | EvaluationConfig
