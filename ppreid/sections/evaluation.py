"""Extraction and ranking."""

from typing import Annotated, Literal

from pydantic import Field

from ppreid.choices import one_of
from ppreid.sections.base import PositiveInt, Probability, Section


class EvaluationSettings(Section):
    """How features are extracted and ranked."""

    protocol: Annotated[str, one_of("eval.protocol")] = "market1501"
    """Conventions of the metric, see docs/evaluation.md."""
    ignore_camera: bool = False
    """Count images of the query's own camera as well, for data from a single camera."""
    flip: bool = False
    """Average the features of every image and its mirror image, in tools/eval.py; training's own evaluations do not."""
    rerank: bool = False
    """Show the metrics after k-reciprocal re-ranking as well, in tools/eval.py; training's own evaluations do not."""
    rerank_k1: Annotated[int, Field(ge=1, le=1000)] = 20
    """Neighbours of the k-reciprocal sets, the image itself not included."""
    rerank_k2: Annotated[int, Field(ge=1, le=1000)] = 6
    """Neighbours over which re-ranking averages, the image itself included; 1 is off."""
    rerank_lambda: Probability = 0.3
    """Share of the original distance in the re-ranked one."""
    engine: Literal["auto", "eager", "inference"] = "auto"
    """What runs the network when features are extracted: eager; inference (an exported copy, several times as fast on
    a CPU); auto (inference on a CPU for 500 images or more); see docs/extraction.md."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """What inference computes in; auto is bfloat16 where the processor has it. Eager always computes in float32."""
    batch_size: PositiveInt = 256
    """Images per forward pass when features are extracted, in evaluation and before clustering."""


class TrainingEvaluationSettings(EvaluationSettings):
    """Evaluation during training."""

    every: PositiveInt = 10
    """Epochs between evaluations; the last epoch is always evaluated."""
