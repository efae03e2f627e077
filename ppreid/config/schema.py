"""The two kinds of configuration files: `task: train` and `task: evaluate`.

An evaluation file has only the keys that evaluation reads, so that a key without effect is an error. Reading files is
the business of `ppreid.config.load`.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

from ppreid.base.errors import ConfigError
from ppreid.base.plain_yaml import Key
from ppreid.config.beyond import CameraProxiesConfig, EMAConfig, RefineConfig, method_problems, needing_cameras
from ppreid.config.choices import Device, Plugins, Section, not_empty, refusal
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
from ppreid.tables import BACKBONES


class RunConfig(Section):
    """What every task has."""

    output_dir: Annotated[str, not_empty("output_dir", "name a folder, e.g. output/run")] = "output/run"
    """Folder for everything that the run writes."""
    plugins: Plugins = {}  # noqa: RUF012 - pydantic gives every section a copy
    """Plugins that are needed, by name, and their SHA-256, "" for any; --plugin loads them (docs/extending.md)."""
    device: Device = "auto"
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
    refine: RefineConfig = RefineConfig()
    camera_proxies: CameraProxiesConfig = CameraProxiesConfig()
    ema: EMAConfig = EMAConfig()
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
        if (own := self.labels.track).k2 > own.k1:
            problems.append(f"labels.track.k2 is {own.k2} and labels.track.k1 is {own.k1}; k2 must not exceed k1")
        if self.labels.cannot_link and not self.data.times_compare:
            problems.append(
                "labels.cannot_link needs tracks whose times compare, but every track counts from its own beginning "
                f"(data.clock is {self.data.clock}, data.name is {self.data.name})"
            )
        if rows % self.model.bn_chunks:
            problems.append(f"model.bn_chunks is {self.model.bn_chunks}; it must divide the batch of {rows} images")
        if rows // self.model.bn_chunks < 2:
            problems.append(f"a batch of {rows} images in {self.model.bn_chunks} parts cannot be normalised; use more")
        if not self.data.has_cameras:
            problems += [
                f"{key} {value} needs cameras, but data.{self.data.name}.camera is none"
                for key, value in self.needing_cameras().items()
            ]
        if self.refine.has_parts and (self.model.embedding_dim or BACKBONES[self.model.backbone].gives_vectors):
            text = f"model.backbone is {self.model.backbone} and model.embedding_dim {self.model.embedding_dim}"
            problems.append(f"{text}; refine.parts needs maps that can be halved, and no embedding")
        if self.refine.weight and self.model.parts > 1:
            problems.append(f"model.parts is {self.model.parts}, and refine.weight needs 1: set one of them otherwise")
        problems += method_problems(self.labels, self.ise, self.refine, self.camera_proxies, self.ema)
        if self.model.bn_chunks % self.batch.accumulate:
            problems.append(
                f"batch.accumulate is {self.batch.accumulate} and model.bn_chunks is {self.model.bn_chunks}; "
                "it must divide model.bn_chunks, because each part of the batch is normalised by itself"
            )
        if problems:
            raise refusal("; ".join(problems))
        return self

    def needing_cameras(self) -> dict[str, str]:
        """Keys whose values need the camera of every training image."""
        return needing_cameras(self.labels, self.memory, self.ise, self.camera_proxies, self.augment, self.model)


Config = TrainingConfig | EvaluationConfig


def scaled_to_devices(cfg: TrainingConfig, *, devices: int) -> tuple[TrainingConfig, str]:
    """Resolve batch.per_device.

    With f = (devices x per_device) / (identities x images), the new batch in units of the old one: identities and the
    learning rate are multiplied by f, steps per epoch and warm-up steps divided by it, so that an epoch sees as many
    images as before. Parts for batch normalisation keep their number of images where that divides per_device;
    otherwise each device normalises its own images together.

    Args:
        cfg: the recipe.
        devices: number of processes, each with a device of its own; at least 1.

    Returns:
        The configuration of this run, whose batch.per_device is 0, and a line that says what it is.

    Raises:
        ConfigError: a device would not hold whole identities, or the scaled values do not fit together.

    Reference:
        The learning rate: Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.1
        (linear scaling rule).
    """
    rows = cfg.batch.identities * cfg.batch.images  # of the recipe
    part = rows // cfg.model.bn_chunks
    on = f"{devices} device" + "s" * (devices > 1)
    if not cfg.batch.per_device:
        parts = f"{cfg.model.bn_chunks} parts of {part}" if part < rows else "one part"
        like = f", as on {cfg.model.bn_chunks} devices" if cfg.model.bn_chunks != devices else ""
        return cfg, f"a step takes {rows} images on {on}; batch normalisation in {parts}{like}"
    share, images = cfg.batch.per_device, cfg.batch.images
    if share % images:
        nearest = max(images, share // images * images)
        raise ConfigError(
            f"batch.per_device is {share}; a device takes whole identities of batch.images={images} images, for "
            f"example batch.per_device={nearest}"
        )
    here = devices * share
    scaled = {
        ("batch", "identities"): here // images,
        ("solver", "iters"): math.ceil(Fraction(cfg.solver.iters * rows, here)),
        ("solver", "lr"): cfg.solver.lr * here / rows,
        ("solver", "warmup_iters"): math.ceil(Fraction(cfg.solver.warmup_iters * rows, here)),
        ("model", "bn_chunks"): devices * (share // part if share % part == 0 else 1),
    }
    recipe = cfg.model_dump()
    changes = [
        f"{section}.{name} {recipe[section][name]:g} -> {value:g}"
        for (section, name), value in scaled.items()
        if value != recipe[section][name]
    ]
    line = f"recipe: {rows} images a step; here {on} x {share}: {', '.join(changes) or 'the same'}"
    return _with(cfg, {**scaled, ("batch", "per_device"): 0}, line), line


def bn_chunks_per_pass(cfg: TrainingConfig, *, devices: int) -> int:
    """Parts in which a training batch is normalised within one pass of one of several processes.

    Raises:
        ConfigError: the processes cannot normalise the batch in model.bn_chunks parts.
    """
    chunks, passes = cfg.model.bn_chunks, devices * cfg.batch.accumulate
    if chunks % passes:
        raise ConfigError(
            f"{devices} processes with batch.accumulate={cfg.batch.accumulate} normalise a batch in {passes} parts "
            f"and model.bn_chunks is {chunks}; set -o model.bn_chunks={passes} or a multiple of it, or start another "
            "number of processes. The result depends on model.bn_chunks, not on the number of processes"
        )
    return chunks // passes


def _with(cfg: TrainingConfig, changes: dict[tuple[str, str], Any], line: str) -> TrainingConfig:
    """The configuration with other values, checked as a whole."""
    values = cfg.model_dump()
    for (section, name), value in changes.items():
        values[section][name] = value
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(problem["msg"] for problem in error.errors())
        raise ConfigError(f"batch.per_device does not fit the rest of the configuration ({line}): {problems}") from None


@cache
def text_keys() -> frozenset[Key]:
    """Keys whose values are texts: what stands there is taken as it is, e.g. a folder called 2024-05-01."""
    return frozenset({("base",), *_texts_of(TrainingConfig, ()), *_texts_of(EvaluationConfig, ())})


def _texts_of(schema: type[BaseModel], prefix: Key) -> Iterator[Key]:
    for name, info in schema.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _texts_of(kind, (*prefix, name))
        elif kind is str or (get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind))):
            yield (*prefix, name)
