"""The network."""

from typing import Annotated, Literal

from pydantic import Field

from ppreid.choices import one_of
from ppreid.sections.base import PositiveInt, Section


class EvaluationModelConfig(Section):
    """The network, as far as evaluation needs it."""

    backbone: Annotated[str, one_of("model.backbone")] = "resnet50"
    """Network layout."""
    base_width: Annotated[int, Field(ge=2, le=256)] = 64
    """Channels of the stem; all other widths follow (64 is the standard network)."""
    last_stride: Literal[1, 2] = 1
    """Stride of the last stage; re-identification uses 1."""
    pooling: Annotated[str, one_of("model.pooling")] = "avg"
    """Spatial pooling: avg, gem (trainable power, starts at 3) or max."""
    embedding_dim: Annotated[int, Field(ge=0, le=65536)] = 0
    """Size of a linear layer before the BN neck; 0 is none."""
    weights: str = "none"
    """File with weights, `imagenet` (downloaded once and cached), or `none` (random)."""
    weights_sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$")] = ""
    """SHA-256 that the file with weights must have (every run shows the one it found); empty is any."""


class ModelConfig(EvaluationModelConfig):
    """The network and what training adds to it."""

    bn_chunks: PositiveInt = 1
    """Ghost batch normalisation: the batch is normalised in this many equal parts, as on this many GPUs."""
