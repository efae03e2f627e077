"""Which network a file of weights is of, found by names and shapes alone; for messages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ppreid.disk.tensor_file import read_facts
from ppreid.models.resnet import BASIC_STAGES, BOTTLENECK_STAGES, IBN_DEPTHS, IBN_STAGES
from ppreid.weights.names import NAMINGS

_NORM = ("weight", "bias", "_mean", "_variance")
_EMBEDDING, _NECK, _POWER = "embedding.weight", "neck.weight", "pooling.p"
# of a configuration, as far as they decide which weights fit, or what the same weights compute
NETWORK_KEYS = ("backbone", "base_width", "last_stride", "pooling", "embedding_dim")

Shapes = Mapping[str, tuple[int, ...]]


def network_of(shapes: Shapes, naming: str) -> dict[str, str]:
    """The keys of a configuration that names and shapes tell.

    Args:
        shapes: {name in the file: shape}.
        naming: whose names they are, a key of NAMINGS.

    Returns:
        {"model.backbone": "resnet50", ...}; a key is missing where nothing can be told. A pooling without parameters
        is "avg", which may as well be "max".
    """
    rules = NAMINGS[naming]
    found = {}
    present = set(shapes)
    fitting = {}
    for backbone, names in _backbones():
        theirs = set(rules.names(names).values())
        if theirs <= present:
            fitting[len(theirs)] = backbone
    if fitting:
        found["model.backbone"] = fitting[max(fitting)]
    if first := shapes.get(rules.names(["backbone.conv1.weight"])["backbone.conv1.weight"]):
        found["model.base_width"] = str(first[0])
    if is_backbone_only(shapes, naming):
        return found
    embedding = shapes.get(rules.names([_EMBEDDING, _NECK])[_EMBEDDING], ())
    size = (embedding[0] if rules.from_torch else embedding[1]) if len(embedding) >= 2 else 0
    found["model.embedding_dim"] = str(size)
    found["model.pooling"] = "gem" if rules.names([_POWER])[_POWER] in present else "avg"
    return found


def is_backbone_only(shapes: Shapes, naming: str) -> bool:
    """Whether a file has nothing of what comes behind the backbone, as files from ImageNet."""
    names = NAMINGS[naming].names
    behind = {names([_NECK])[_NECK], *names([_EMBEDDING, _NECK]).values(), names([_POWER])[_POWER]}
    return not behind & set(shapes)


def own_network(path: Path) -> dict[str, str]:
    """The keys that a training checkpoint of ours knows of its own network; nothing for other files."""
    config: Any = read_facts(path).get("config")
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict):
        return {}
    values = {key: model[key] for key in NETWORK_KEYS if type(model.get(key)) in (str, int)}
    return {f"model.{key}": str(value)[:40] for key, value in values.items()}


def _backbones() -> Iterator[tuple[str, list[str]]]:
    """Every residual network by its name in a configuration, with the names of all its tensors."""
    for depth, stages in (BASIC_STAGES | BOTTLENECK_STAGES).items():
        yield f"resnet{depth}", list(_resnet_names(stages, num_convs=2 if depth in BASIC_STAGES else 3, ibn=False))
        if depth in IBN_DEPTHS:
            yield f"resnet{depth}_ibn_a", list(_resnet_names(stages, num_convs=3, ibn=True))


def _resnet_names(stages: tuple[int, ...], *, num_convs: int, ibn: bool) -> Iterator[str]:
    yield from ("backbone.conv1.weight", *(f"backbone.bn1.{leaf}" for leaf in _NORM))
    for stage, num_blocks in enumerate(stages):
        for block in range(num_blocks):
            place = f"backbone.layer{stage + 1}.{block}"
            for conv in range(1, num_convs + 1):
                yield f"{place}.conv{conv}.weight"
                if ibn and conv == 1 and stage < IBN_STAGES:
                    yield from (f"{place}.bn1.IN.scale", f"{place}.bn1.IN.bias")
                    yield from (f"{place}.bn1.BN.{leaf}" for leaf in _NORM)
                else:
                    yield from (f"{place}.bn{conv}.{leaf}" for leaf in _NORM)
            if block == 0 and (stage > 0 or num_convs == 3):
                yield from (f"{place}.downsample.0.weight", *(f"{place}.downsample.1.{leaf}" for leaf in _NORM))
