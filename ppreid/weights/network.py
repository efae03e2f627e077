"""Which network a file of weights is of, found by names and shapes alone; for messages."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ppreid.datasets.transforms import IMAGE_MEAN, IMAGE_STD
from ppreid.disk.tensor_file import read_facts
from ppreid.models.resnet import BASIC_STAGES, BOTTLENECK_STAGES, IBN_DEPTHS, IBN_STAGES
from ppreid.weights.name_rules import NAMINGS

_NORM = ("weight", "bias", "_mean", "_variance")
_STEM = "backbone.conv1.weight"
_TOKEN = "backbone.cls_token"
VIT_BASE_DIM = 768
_EMBEDDING, _NECK, _POWER = "embedding.weight", "neck.weight", "pooling.p"
_STRIPE_NECK = re.compile(r"stripe_necks\.\d+\.weight$")
# of a configuration, as far as they decide which weights fit, or what the same weights compute
NETWORK_KEYS = ("backbone", "base_width", "last_stride", "pooling", "embedding_dim", "parts")

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
    if token := shapes.get(rules.names([_TOKEN])[_TOKEN]):
        # a ViT-B is nothing but a wide ViT-S: numbers of a head and of heads do not show
        is_base = token[-1] == VIT_BASE_DIM
        found = {key: name.replace("small", "base") if is_base else name for key, name in found.items()}
        found["model.base_width"] = str(token[-1] // (12 if is_base else 6))
    for first in (_STEM, _STEM.replace("conv1.", "conv1.conv.")):  # of a ResNet and of OSNet
        if shape := shapes.get(rules.names([first])[first]):
            found["model.base_width"] = str(shape[0])
    if is_backbone_only(shapes, naming):
        return found
    embedding = shapes.get(rules.names([_EMBEDDING, _NECK])[_EMBEDDING], ())
    size = (embedding[0] if rules.from_torch else embedding[1]) if len(embedding) >= 2 else 0
    found["model.embedding_dim"] = str(size)
    found["model.parts"] = str(max(1, sum(bool(_STRIPE_NECK.match(name)) for name in shapes)))
    found["model.pooling"] = "gem" if rules.names([_POWER])[_POWER] in present else "avg"
    return found


def is_backbone_only(shapes: Shapes, naming: str) -> bool:
    """Whether a file has nothing of what comes behind the backbone, as files from ImageNet."""
    names = NAMINGS[naming].names
    behind = {names([_NECK])[_NECK], *names([_EMBEDDING, _NECK]).values(), names([_POWER])[_POWER]}
    return not behind & set(shapes)


def own_settings(path: Path) -> dict[str, str]:
    """The keys that a training checkpoint of ours knows of its own network and images; nothing for other files."""
    config: Any = read_facts(path).get("config")
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        return {}
    model, data = config["model"], config.get("data")
    values = {f"model.{key}": model[key] for key in NETWORK_KEYS if type(model.get(key)) in (str, int)}
    for key, default in (("mean", IMAGE_MEAN), ("std", IMAGE_STD)):
        # before there was such a key, it was ImageNet's numbers
        values[f"data.{key}"] = data.get(key, list(default)) if isinstance(data, dict) else list(default)
    return {key: str(value)[:40] for key, value in values.items()}


def _backbones() -> Iterator[tuple[str, list[str]]]:
    """Networks by their names in a configuration, with the names of all their tensors."""
    yield "osnet", list(_osnet_names())
    yield "vit_small", list(_vit_names("proj"))
    yield "vit_small_ics", list(_vit_names(*STEM))
    for depth, stages in (BASIC_STAGES | BOTTLENECK_STAGES).items():
        yield f"resnet{depth}", list(_resnet_names(stages, num_convs=2 if depth in BASIC_STAGES else 3, ibn=False))
        if depth in IBN_DEPTHS:
            yield f"resnet{depth}_ibn_a", list(_resnet_names(stages, num_convs=3, ibn=True))


STEM = ("conv.0", "conv.1.IN", "conv.1.BN", "conv.3", "conv.4.IN", "conv.4.BN", "conv.6", "conv.7", "proj")


def _vit_names(*stem: str) -> Iterator[str]:
    yield from (
        _TOKEN,
        "backbone.pos_embed",
        *(f"backbone.patch_embed.{layer}.weight" for layer in stem if ".IN" not in layer),
    )
    yield from (f"backbone.patch_embed.{layer}.scale" for layer in stem if ".IN" in layer)
    for layer in (f"blocks.{block}.{part}" for block in range(12) for part in VIT_LAYERS):
        yield from (f"backbone.{layer}.weight", f"backbone.{layer}.bias")


def _osnet_names() -> Iterator[str]:
    for place in ("conv1", "conv5", "conv2.2.0", "conv3.2.0"):
        yield from (f"backbone.{place}.conv.weight", *(f"backbone.{place}.bn.{leaf}" for leaf in _NORM))
    for block in (f"backbone.conv{stage}.{number}" for stage in (2, 3, 4) for number in (0, 1)):
        for place in ("conv1", "conv3", *(("downsample",) if block.endswith("0") else ())):
            yield from (f"{block}.{place}.conv.weight", *(f"{block}.{place}.bn.{leaf}" for leaf in _NORM))
        for stream, depth in zip("abcd", (1, 2, 3, 4), strict=True):
            for light in (f"{block}.conv2{stream}" + f".{number}" * (depth > 1) for number in range(depth)):
                yield from (f"{light}.conv1.weight", f"{light}.conv2.weight")
                yield from (f"{light}.bn.{leaf}" for leaf in _NORM)
        yield from (f"{block}.gate.{layer}.{leaf}" for layer in ("fc1", "fc2") for leaf in ("weight", "bias"))


VIT_LAYERS = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


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
