"""The sections of a configuration: every key with its type, range, default and meaning.

Sections are pydantic models: unknown keys are refused, values are checked, instances are frozen.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ppreid.choices import one_of

PositiveInt = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, immutable, finite numbers, defaults checked as well."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class DataConfig(Section):
    """Which images are read and how."""

    name: Annotated[str, one_of("data.name")] = "market1501"
    """Data set; switching data sets is this one line."""
    root: str = "data"
    """Folder that holds the data set's own folder (or that folder itself)."""
    height: Annotated[int, Field(ge=16, le=1024)] = 256
    """Image height in pixels after resizing."""
    width: Annotated[int, Field(ge=16, le=1024)] = 128
    """Image width in pixels after resizing."""
    num_workers: Annotated[int, Field(ge=0, le=128)] = 4
    """Processes that decode images; 0 decodes in the main process. The result does not depend on it."""
    shared_memory: bool = True
    """Pass batches through /dev/shm; falls back with a warning when it is too small."""
    on_bad_image: Literal["error", "skip"] = "error"
    """An unreadable image stops the run (error) or is left out of the whole run and counted (skip)."""


class EvaluationModelConfig(Section):
    """The network, as far as evaluation needs it."""

    backbone: Annotated[str, one_of("model.backbone")] = "resnet50"
    """Network layout."""
    base_width: Annotated[int, Field(ge=8, le=256)] = 64
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


class AugmentConfig(Section):
    """Random changes to training images."""

    flip: Probability = 0.5
    """Probability of mirroring."""
    pad: Annotated[int, Field(ge=0, le=256)] = 10
    """Black border in pixels before the random crop back to height x width."""
    erasing: Probability = 0.5
    """Probability of erasing a random rectangle."""
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Strength of brightness, contrast and saturation changes; 0 is off, as in the released ISE."""


class CameraJaccardConfig(Section):
    """Neighbours of the camera-aware distance (CA-Jaccard, CVPR 2024), within a camera and among the others."""

    k1_intra: PositiveInt = 5
    """k-reciprocal neighbours within the camera."""
    k1_inter: PositiveInt = 20
    """k-reciprocal neighbours in other cameras."""
    k2_intra: PositiveInt = 2
    """Same-camera images of the query expansion, the image itself included."""
    k2_inter: PositiveInt = 4
    """Other-camera images of the query expansion."""
    k2_intra_first: PositiveInt = 3
    """k2_intra in the first epoch, when neighbours in other cameras are not yet reliable."""
    k2_inter_first: PositiveInt = 3
    """k2_inter in the first epoch."""


class LabelsConfig(Section):
    """Pseudo labels: distances between training images and their clustering, once per epoch."""

    neighbours: Annotated[str, one_of("labels.neighbours")] = "exact"
    """Neighbour search: exact; ivf (approximate); auto (exact up to 100,000 images)."""
    num_probes: PositiveInt = 32
    """Inverted lists that ivf looks into for every image."""
    distance: Annotated[str, one_of("labels.distance")] = "jaccard"
    """Distance between images; camera_jaccard uses camera ids."""
    camera: CameraJaccardConfig = CameraJaccardConfig()
    k1: Annotated[int, Field(ge=1, le=1000)] = 30
    """Neighbours of the k-reciprocal sets, the image itself included."""
    k2: Annotated[int, Field(ge=1, le=1000)] = 6
    """Neighbours of the query expansion, the image itself included; 1 is off."""
    clusterer: Annotated[str, one_of("labels.clusterer")] = "dbscan"
    """Clustering method; hdbscan does not look at eps, infomap needs an extra package."""
    eps: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Largest Jaccard distance between neighbours in a cluster."""
    min_samples: PositiveInt = 4
    """Images within eps, itself included, that make an image a core point."""


class MemoryConfig(Section):
    """The cluster memory: one unit vector per cluster, rebuilt every epoch, updated every step."""

    update: Annotated[str, one_of("memory.update")] = "hard"
    """hard: the least similar row of each class, once. sequential: all rows in turn ("ori" in the released code)."""
    momentum: Probability = 0.2
    """Weight of the old centroid in an update."""


class ISEConfig(Section):
    """Implicit sample extension: what is minimised."""

    objective: Annotated[str, one_of("ise.objective")] = "ise"
    """Row of the paper's ablation: baseline, ise_pli (+PIL), ise_lp (+LP) or ise (both)."""
    temperature: Annotated[float, Field(gt=0)] = 0.05
    """Temperature of the cluster contrast."""
    topk: PositiveInt = 1
    """Support samples per image: one towards each of the topk nearest other centroids."""
    pli_base: Annotated[float, Field(ge=0)] = 1.0
    """Scale of the PLI degree (support_base_lambda in the released code)."""
    lp_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the label-preserving loss."""
    lp_temperature: Annotated[float, Field(gt=0)] = 0.6
    """Temperature of the label-preserving loss."""


class BatchConfig(Section):
    """A training batch is identities x images."""

    identities: PositiveInt = 16
    """Clusters per batch."""
    images: PositiveInt = 16
    """Images per cluster."""


class SolverConfig(Section):
    """Optimizer and schedule."""

    epochs: PositiveInt = 70
    """Rounds of clustering and training."""
    iters: PositiveInt = 400
    """Training steps per epoch."""
    lr: Annotated[float, Field(gt=0)] = 3.5e-4
    """Learning rate of Adam."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """L2 penalty that is added to the gradient."""
    lr_step: PositiveInt = 30
    """The learning rate is multiplied by lr_gamma every lr_step epochs."""
    lr_gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """See lr_step."""
    warmup_iters: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly at the start of the run; 0 is off."""


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


class LogConfig(Section):
    """What is written while training."""

    every: PositiveInt = 50
    """Steps between two readings of the losses from the device."""


class CheckpointConfig(Section):
    """What is saved while training, beside the last, the previous and the best checkpoint; see docs/reliability.md."""

    every: Annotated[int, Field(ge=0)] = 0
    """Epochs between two checkpoints that stay; 0 is none."""
    keep: Annotated[int, Field(ge=0)] = 3
    """How many of these stay, the newest; 0 is all."""
    every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two checkpoints within an epoch; 0 saves at epoch ends, before evaluations and on signals only."""
