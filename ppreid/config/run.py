"""The run: batches, optimizer, schedule, evaluation, log, checkpoints, report."""

from typing import Annotated, Literal

from pydantic import Field

from ppreid.config.choices import CameraCentre, PositiveInt, Probability, Section, WithinTracks, one_of


class BatchConfig(Section):
    """A training batch is identities x images."""

    identities: PositiveInt = 16
    """Clusters per batch."""
    images: PositiveInt = 16
    """Images per cluster."""
    across: Literal["cameras", "tracks"] = "cameras"
    """The images of a cluster are drawn from other cameras, or other tracks, than the first, where there are any."""
    accumulate: PositiveInt = 1
    """Gradient accumulation: a batch goes through the network in this many parts, one after another, which takes less
    memory and more time and gives the same gradient. It must divide model.bn_chunks."""
    per_device: Annotated[int, Field(ge=0)] = 0
    """0: a batch is identities x images on however many devices. Otherwise the images that each device takes: the batch
    is as large as the devices make it, and identities, solver.iters, solver.lr, solver.warmup_iters and model.bn_chunks
    are scaled to it; the run shows how."""


class AmpConfig(Section):
    """Mixed precision, on GPUs; losses, features and cluster memory stay float32."""

    level: Literal["O0", "O1", "O2"] = "O0"
    """O0 is off; O1: convolutions and matrix products in half precision; O2: nearly everything, also powers."""
    dtype: Literal["float16", "bfloat16"] = "float16"
    """Kind of half precision; float16 scales the loss so that small gradients do not vanish."""


class SolverConfig(Section):
    """Optimizer and schedule."""

    epochs: PositiveInt = 70
    """Rounds of clustering and training."""
    iters: PositiveInt = 400
    """Training steps per epoch."""
    optimizer: Annotated[str, one_of("solver.optimizer")] = "adam"
    """adam, or sgd: gradient descent with momentum."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd."""
    lr: Annotated[float, Field(gt=0)] = 3.5e-4
    """Learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """L2 penalty that is added to the gradient."""
    lr_step: PositiveInt = 30
    """The learning rate is multiplied by lr_gamma every lr_step epochs."""
    lr_gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """See lr_step."""
    milestones: list[PositiveInt] = []  # noqa: RUF012 - pydantic gives every section a copy
    """Epochs at which the learning rate is multiplied by lr_gamma, in place of every lr_step epochs; [] is none."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over which the learning rate rises linearly, from epoch to epoch, from warmup_factor of it; 0 is off."""
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the learning rate in epoch 0; see warmup_epochs."""
    warmup_iters: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly at the start of the run; 0 is off."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """A loss or gradient that is NaN or infinite stops the run (stop) or the step is left out (skip); the images of the
    batch are listed in a file."""
    max_nonfinite: PositiveInt = 10
    """With skip: the most steps of a run to leave out; one more stops it."""


class LogConfig(Section):
    """What is written while training."""

    every: PositiveInt = 50
    """Steps between two readings of the losses from the device."""
    visualdl: bool = False
    """Write the numbers of metrics.jsonl for VisualDL as well; needs the package visualdl, see docs/metrics.md."""
    tensorboard: bool = False
    """The same for TensorBoard; needs the package tensorboardX."""
    wandb: bool = False
    """The same for Weights & Biases, offline, at the end of the run; needs the package wandb. Nothing is sent."""

    @property
    def viewers(self) -> list[str]:
        """Programs that get the numbers."""
        return [name for name in ("visualdl", "tensorboard", "wandb") if getattr(self, name)]


class CheckpointConfig(Section):
    """What is saved while training, beside the last, the previous and the best checkpoint; see docs/reliability.md."""

    every: Annotated[int, Field(ge=0)] = 0
    """Epochs between two checkpoints that stay; 0 is none."""
    keep: Annotated[int, Field(ge=0)] = 3
    """How many of these stay, the newest; 0 is all."""
    every_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between two checkpoints within an epoch; 0 saves at epoch ends, before evaluations and on signals only."""
    fallback_dir: str = "~/ppreid-rescued"
    """Where the run saves what it has reached if output_dir can no longer be written, in a folder of its own, before it
    stops; empty: nowhere."""


class EvaluationSettings(Section):
    """How features are extracted and ranked."""

    protocol: Annotated[str, one_of("eval.protocol")] = "market1501"
    """Conventions of the metric, see docs/evaluation.md."""
    ignore_camera: bool = False
    """Count images of the query's own camera as well, for data from a single camera."""
    camera_centre: CameraCentre = 0.0
    """Subtract the mean feature of its camera from each image before it is compared: off; on (100); or as how many
    images the mean of all counts in it. The means are those of the gallery: no labels, but many images at a time."""
    within_tracks: WithinTracks = 0.0
    """Let what changes within the tracks of the training images count less, in network and colour: off; on (1); or how
    much all directions are taken to change alike. No labels, but tracks (docs/scratch.md)."""
    colour: Probability = 0.0
    """Share of the colour of the images in their similarity, beside the network's: 0 is none (docs/scratch.md)."""
    flip: bool = False
    """Average the features of every image and its mirror image, in twice the time; pseudo labels do not."""
    rerank: bool = False
    """Show the metrics after k-reciprocal re-ranking as well, in tools/eval.py; training's own evaluations do not."""
    rerank_k1: Annotated[int, Field(ge=1, le=1000)] = 20
    """Neighbours of the k-reciprocal sets, the image itself not included."""
    rerank_k2: Annotated[int, Field(ge=1, le=1000)] = 6
    """Neighbours over which re-ranking averages, the image itself included; 1 is off."""
    rerank_lambda: Probability = 0.3
    """Share of the original distance in the re-ranked one."""
    engine: Annotated[str, one_of("eval.engine")] = "auto"
    """What runs the network when features are extracted: eager; inference (an exported copy, several times as fast on
    a CPU); openvino (faster still, pip install openvino); fastest (the first of openvino and inference that is
    installed and works, on a CPU and for enough images); auto (the same, but without openvino where pseudo labels are
    made, so that they do not depend on what is installed); see docs/extraction.md."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "float32"
    """What inference and openvino compute in; auto is bfloat16 where the processor has it. Eager is always float32.
    int8 is openvino's alone (also by engine auto or fastest), calibrated on the images at hand; needs ppreid[int8]."""
    batch_size: PositiveInt = 256
    """Images per forward pass when features are extracted, in evaluation and before clustering."""


class TrainingEvaluationSettings(EvaluationSettings):
    """Evaluation during training."""

    every: PositiveInt = 10
    """Epochs between evaluations; the last epoch is always evaluated."""


class ReportConfig(Section):
    """output_dir/report.html, see docs/report.md. The upper limits keep the file below 20 MB."""

    enabled: bool = True
    """Make the report at the end of training; tools/report.py makes it at any time."""
    queries: Annotated[int, Field(ge=1, le=30)] = 12
    """Rank lists of each kind: random, worst and best queries."""
    clusters: Annotated[int, Field(ge=1, le=20)] = 8
    """Contact sheets of each kind: largest and most mixed clusters, identities that were split."""
    map_images: Annotated[int, Field(ge=10, le=3000)] = 1000
    """Random training images in the map of features."""
    projection: Annotated[str, one_of("report.projection")] = "auto"
    """From features to the two dimensions of the map: pca; tsne, which takes longer; auto: tsne up to 1,500 images."""
    language: Literal["en", "zh"] = "en"
    """Of the page: English, or Chinese."""
