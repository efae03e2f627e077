"""Configurations of PaddleClas, where ISE was published: what its keys are here, and its evaluation files."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.base.plain_yaml import Key

SECTIONS = ("Global", "Arch", "Loss", "Optimizer", "DataLoader", "Metric", "AMP", "Infer")


class Meaning(NamedTuple):
    """What a key of PaddleClas is here.

    Attributes:
        here: key or option, for the message.
        values: from its value to those of our keys for an evaluation; None: an evaluation does not read it.
    """

    here: str
    values: Callable[[Any], dict[str, Any]] | None = None


def _as(key: str, convert: Callable[[Any], Any] = str) -> Callable[[Any], dict[str, Any]]:
    """The value under another key."""
    return lambda value: {key: convert(value)}


def _weights(name: Any) -> str:  # noqa: ANN401 - what the file says
    """PaddleClas leaves the suffix out."""
    return str(name) if str(name).endswith(".pdparams") else f"{name}.pdparams"


def _backbone(name: Any) -> dict[str, Any]:  # noqa: ANN401
    """Its ResNet50 halves the maps in the last stage as well, unless the name says otherwise."""
    layout, stride_1, _ = str(name).partition("_last_stage_stride1")
    return {"model.backbone": layout.lower(), "model.last_stride": 1 if stride_1 else 2}


def _size(steps: Any) -> dict[str, Any]:  # noqa: ANN401
    """The size of ResizeImage, which is width and height."""
    sizes = [step["ResizeImage"]["size"] for step in steps if "ResizeImage" in step]
    return {"data.width": int(sizes[0][0]), "data.height": int(sizes[0][1])} if sizes else {}


def _is_true(value: Any) -> bool:  # noqa: ANN401
    return str(value).lower() == "true"


KEYS = {
    "Global.pretrained_model": Meaning("model.weights, with the suffix of the file", _as("model.weights", _weights)),
    "Global.checkpoints": Meaning("--resume of ppreid train"),
    "Global.output_dir": Meaning("output_dir", _as("output_dir")),
    "Global.device": Meaning("device", _as("device")),
    "Global.seed": Meaning("seed"),
    "Global.epochs": Meaning("solver.epochs"),
    "Global.eval_interval": Meaning("eval.every"),
    "Global.save_interval": Meaning("checkpoint.every"),
    "Global.print_batch_step": Meaning("log.every"),
    "Global.use_visualdl": Meaning("log.visualdl"),
    "Global.re_ranking": Meaning("eval.rerank", _as("eval.rerank", _is_true)),
    "Global.image_shape": Meaning("data.height and data.width"),
    "Global.save_inference_dir": Meaning("--out of ppreid export"),
    "Arch.Backbone.name": Meaning("model.backbone and model.last_stride", _backbone),
    "Arch.Backbone.pretrained": Meaning("model.weights=imagenet"),
    "Arch.Neck.num_features": Meaning("model.embedding_dim, where there is a linear layer"),
    "Optimizer.lr.learning_rate": Meaning("solver.lr"),
    "Optimizer.lr.values": Meaning("solver.lr and solver.lr_gamma"),
    "Optimizer.lr.decay_epochs": Meaning("solver.lr_step"),
    "Optimizer.regularizer.coeff": Meaning("solver.weight_decay"),
    "AMP.level": Meaning("amp.level"),
    "DataLoader.Train.dataset.name": Meaning("data.name"),
    "DataLoader.Train.dataset.image_root": Meaning("data.root"),
    "DataLoader.Train.sampler.batch_size": Meaning("batch.identities x batch.images"),
    "DataLoader.Train.sampler.num_instances": Meaning("batch.images"),
    "DataLoader.Train.sampler.sample_per_id": Meaning("batch.images"),
    "DataLoader.Train.loader.num_workers": Meaning("data.num_workers"),
    "DataLoader.Eval.Query.dataset.name": Meaning("data.name", _as("data.name", lambda name: str(name).lower())),
    "DataLoader.Eval.Query.dataset.image_root": Meaning("data.root", _as("data.root")),
    "DataLoader.Eval.Query.dataset.dataset_root": Meaning("data.root", _as("data.root")),
    "DataLoader.Eval.Query.dataset.transform_ops": Meaning("data.height and data.width", _size),
    "DataLoader.Eval.Query.sampler.batch_size": Meaning("eval.batch_size", _as("eval.batch_size", int)),
    "DataLoader.Eval.Query.loader.num_workers": Meaning("data.num_workers", _as("data.num_workers", int)),
    "DataLoader.Eval.Gallery.dataset.name": Meaning("data.name, of query and gallery together"),
    "DataLoader.Eval.Gallery.dataset.image_root": Meaning("data.root, of query and gallery together"),
    "DataLoader.Eval.Gallery.sampler.batch_size": Meaning("eval.batch_size"),
}


def is_foreign(values: Mapping[str, Any]) -> bool:
    """Whether the keys of a file are those of PaddleClas."""
    return isinstance(values.get("Global"), dict) or {"Arch", "DataLoader"} <= values.keys()


def is_foreign_key(name: str) -> bool:
    """Whether a dotted key is one of PaddleClas."""
    return name.partition(".")[0].strip() in SECTIONS


def advice(names: Sequence[str]) -> str:
    """What keys of PaddleClas are called here, one on a line."""
    meanings = {name: KEYS[name].here if name in KEYS else "nothing, it has no counterpart" for name in names}
    return "\n".join(f"  - {name} is a key of PaddleClas; here it is {here}" for name, here in meanings.items())


def for_evaluation(
    values: Mapping[str, Any], places: Mapping[Key, str]
) -> tuple[dict[str, Any], dict[Key, str], list[str]]:
    """An evaluation file of PaddleClas as one of ours.

    Args:
        values: of the file, in sections.
        places: where each of its keys stands.

    Returns:
        The values under our keys, in sections; where they come from; and a sentence for each key that was taken.

    Raises:
        ConfigError: a value is not what PaddleClas would take.
    """
    ours: dict[str, Any] = {"task": "evaluate"}
    our_places: dict[Key, str] = {}
    taken = []
    for name, meaning in KEYS.items():
        foreign = tuple(name.split("."))
        value = _at(values, foreign)
        if value is None or meaning.values is None:
            continue
        try:
            found = meaning.values(value)
        except (TypeError, ValueError, KeyError, IndexError):
            raise ConfigError(f"{places.get(foreign, name)}: {name} is {value!r}, which cannot be read") from None
        for key, our_value in found.items():
            *sections, last = key.split(".")
            section = ours
            for part in sections:
                section = section.setdefault(part, {})
            section[last] = our_value
            our_places[tuple(key.split("."))] = places.get(foreign, name)
            taken.append(f"{key}={our_value} ({name})")
    return ours, our_places, taken


def without_paddleclas(
    file: Path,
    values: dict[str, Any],
    places: dict[Key, str],
    overrides: Sequence[str],
    *,
    apply: Callable[[dict[str, Any], dict[Key, str], str], None],
) -> tuple[dict[str, Any], dict[Key, str], Sequence[str]]:
    """A file of PaddleClas, with overrides in its own keys, as an evaluation of ours, and the other overrides.

    Args:
        file: for messages.
        values: of the file, in sections; overrides in its keys are put into them.
        places: where each of its keys stands.
        overrides: "a.b=value", in its keys and in ours.
        apply: puts an override into values and places.

    Raises:
        ConfigError: a value is not what PaddleClas would take, or a file of ours has overrides in keys of PaddleClas.
    """
    foreign = [override for override in overrides if is_foreign_key(override.partition("=")[0])]
    own = [override for override in overrides if override not in foreign]
    if not is_foreign(values):
        if not foreign:
            return values, places, own
        names = [override.partition("=")[0].strip() for override in foreign]
        raise ConfigError(f"-o takes keys of ppreid for {file}\n{advice(names)}")
    for override in foreign:
        apply(values, places, override)
    ours, our_places, taken = for_evaluation(values, places)
    text = f"{file} is a configuration of PaddleClas; for an evaluation it means {', '.join(taken) or 'nothing'}"
    warnings.warn(f"{text}; its other keys are not read", PpreidWarning, stacklevel=4)
    return ours, our_places, own


def _at(values: Any, key: Key) -> Any:  # noqa: ANN401
    """The value of a key in sections; None where it is not there."""
    for part in key:
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)
    return values
