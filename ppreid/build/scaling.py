"""From a recipe for some batch to the batch that the devices at hand can hold."""

import math
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from ppreid.base.errors import ConfigError
from ppreid.build.tables import choices
from ppreid.config.schema import TrainingConfig


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


def _with(cfg: TrainingConfig, changes: dict[tuple[str, str], Any], line: str) -> TrainingConfig:
    """The configuration with other values, checked as a whole."""
    values = cfg.model_dump()
    for (section, name), value in changes.items():
        values[section][name] = value
    try:
        return TrainingConfig.model_validate(values, context={"choices": choices()})
    except ValidationError as error:
        problems = "; ".join(problem["msg"] for problem in error.errors())
        raise ConfigError(f"batch.per_device does not fit the rest of the configuration ({line}): {problems}") from None
