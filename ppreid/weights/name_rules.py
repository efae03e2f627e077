"""How other code bases name the parameters of the same network: functions from our names to theirs, and their table.

Each function is one-to-one, so its inverse reads a file and the function itself writes one. Our names are those of
`ReIDNet.state_dict()`, e.g. backbone.layer1.0.conv1.weight, pooling.p, embedding.weight, neck._mean.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

NamesFunction = Callable[[Iterable[str]], dict[str, str]]  # all our names to {ours: theirs}

_BLOCK = re.compile(r"backbone\.layer(?P<stage>\d)\.(?P<block>\d+)\.(?P<rest>.+)")
# In a PaddleClas block a convolution and its normalisation share one prefix, counted from 0.
_PADDLECLAS_PARTS = {"conv": "conv{}.conv.", "bn": "conv{}.bn."}


def ppreid_names(names: Iterable[str]) -> dict[str, str]:
    """Our own names."""
    return {name: name for name in names}


def paddle_vision_names(names: Iterable[str]) -> dict[str, str]:
    """paddle.vision's ResNet: the backbone without prefix."""
    return {name: name.removeprefix("backbone.") for name in names}


def paddleclas_rec_names(names: Iterable[str]) -> dict[str, str]:
    """PaddleClas' RecModel with a ResNet backbone and a BNNeck; its blocks are numbered over all stages.

    Args:
        names: all parameter names of the model; the numbering depends on how many blocks each stage has.

    Returns:
        {ours: theirs}.

    Note:
        PaddleClas' ResNet-18 and 34 have an extra convolution in the first shortcut and do not fit ours.
    """
    names = list(names)
    matches = (_BLOCK.match(name) for name in names)
    blocks = sorted({(int(m["stage"]), int(m["block"])) for m in matches if m})
    index = {block: i for i, block in enumerate(blocks)}  # (stage, block) -> number over all stages

    def rename(name: str) -> str:
        if match := _BLOCK.match(name):
            i = index[int(match["stage"]), int(match["block"])]
            return f"backbone.blocks.{i}.{_paddleclas_block_part(match['rest'])}"
        name = name.replace("backbone.conv1.", "backbone.stem.0.conv.").replace("backbone.bn1.", "backbone.stem.0.bn.")
        return re.sub(r"^neck\.", "neck.feat_bn.", name)

    return {name: rename(name) for name in names}


def _paddleclas_block_part(part: str) -> str:
    part = part.replace("downsample.0.", "short.conv.").replace("downsample.1.", "short.bn.")
    return re.sub(r"^(conv|bn)(\d)\.", lambda m: _PADDLECLAS_PARTS[m[1]].format(int(m[2]) - 1), part)


def paddleclas_backbone_names(names: Iterable[str]) -> dict[str, str]:
    """PaddleClas' ResNet alone, as in its ImageNet files: the RecModel names without the prefix "backbone."."""
    return {ours: theirs.removeprefix("backbone.") for ours, theirs in paddleclas_rec_names(names).items()}


def torchvision_names(names: Iterable[str]) -> dict[str, str]:
    """Naming of torchvision's ResNet, and of IBN-Net's and torchreid's OSNet, which call nothing by another name."""
    return {name: _torch_leaf(name.removeprefix("backbone.")) for name in names}


def ise_torch_names(names: Iterable[str]) -> dict[str, str]:
    """The released ISE and cluster-contrast models: the backbone as a sequence of 8 layers called base."""

    def rename(name: str) -> str:
        name = name.replace("backbone.conv1.", "base.0.").replace("backbone.bn1.", "base.1.")
        # base is conv1, bn1, ReLU, max pooling and then layer1 to layer4
        name = re.sub(r"^backbone\.layer(\d)\.", lambda m: f"base.{int(m[1]) + 3}.", name)
        name = re.sub(r"^neck\.", "feat_bn.", name)
        name = re.sub(r"^embedding\.", "feat.", name)
        return _torch_leaf(re.sub(r"^pooling\.", "gap.", name))

    return {name: rename(name) for name in names}


def transreid_names(names: Iterable[str]) -> dict[str, str]:
    """TransReID's ViT, and timm's, whose names it has: the backbone without prefix."""
    return {name: _torch_leaf(re.sub(r"^neck\.", "bottleneck.", name.removeprefix("backbone."))) for name in names}


def fast_reid_names(names: Iterable[str]) -> dict[str, str]:
    """fast-reid's Baseline with an EmbeddingHead, whose embedding is a convolution of 1x1."""
    names = list(names)
    neck = f"heads.bottleneck.{_neck_place(names)}."

    def rename(name: str) -> str:
        name = re.sub(r"^embedding\.", "heads.bottleneck.0.", re.sub(r"^neck\.", neck, name))
        return _torch_leaf(re.sub(r"^pooling\.", "heads.pool_layer.", name))

    return {name: rename(name) for name in names}


def strong_baseline_names(names: Iterable[str]) -> dict[str, str]:
    """The "bag of tricks" baseline, reid-strong-baseline, and what was made from it."""

    def rename(name: str) -> str:
        name = re.sub(r"^neck\.", "bottleneck.", re.sub(r"^backbone\.", "base.", name))
        return _torch_leaf(re.sub(r"^pooling\.", "gap.", name))

    return {name: rename(name) for name in names}


def person_baseline_names(names: Iterable[str]) -> dict[str, str]:
    """Person_reID_baseline_pytorch: torchvision's ResNet as model, embedding and neck within the classifier."""
    names = list(names)
    neck = f"classifier.add_block.{_neck_place(names)}."

    def rename(name: str) -> str:
        name = re.sub(r"^embedding\.", "classifier.add_block.0.", re.sub(r"^neck\.", neck, name))
        return _torch_leaf(re.sub(r"^backbone\.", "model.", name))

    return {name: rename(name) for name in names}


def _neck_place(names: Iterable[str]) -> int:
    """Where the neck is in a sequence that begins with the embedding, if there is one."""
    return 1 if "embedding.weight" in names else 0


def _torch_leaf(name: str) -> str:
    name = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
    return name.replace(".IN.scale", ".IN.weight")


# what we call the first tensors of a network; their names tell whose file it is
_RESNET = ("backbone.conv1.weight", "backbone.bn1._mean")
_OSNET = ("backbone.conv1.conv.weight", "backbone.conv1.bn._mean")
VIT = ("backbone.cls_token", "backbone.blocks.0.attn.qkv.weight")


class Naming(NamedTuple):
    """One naming of parameters.

    Attributes:
        names: all our names to {ours: theirs}.
        first: our names of tensors that a file of this naming has under theirs, for each kind of network.
        from_torch: matrices of linear layers are stored transposed, (out, in), and counters of batches exist.
        sign: a name beside the first layers that a file of this naming has; "" where they suffice.
        embedding_bias: of the linear layer before the neck, which ours does not have; "" where theirs has none either.
        is_convolution: the embedding is stored as a convolution, (out, in, 1, 1).
        difference: in what their network differs from ours with the same parameters; "" is nothing.
        starts_anew: training that starts from such a file has a new neck, as its release does.
    """

    names: NamesFunction
    first: tuple[tuple[str, ...], ...] = (_RESNET,)
    from_torch: bool = False
    sign: str = ""
    embedding_bias: str = ""
    is_convolution: bool = False
    difference: str = ""
    starts_anew: bool = False


def _from_data_parallel(naming: Naming) -> Naming:
    """The same names as torch.nn.DataParallel saves them, with the prefix "module."."""
    bias = naming.embedding_bias and f"module.{naming.embedding_bias}"
    return naming._replace(
        names=lambda names: {ours: f"module.{theirs}" for ours, theirs in naming.names(names).items()},
        embedding_bias=bias,
    )


_TORCHVISION = Naming(torchvision_names, from_torch=True)
_ISE = Naming(ise_torch_names, from_torch=True, embedding_bias="feat.bias")

NAMINGS = {
    # a ViT of ours and one of DINO call their tensors the same; but for ours the neck belongs to the network
    "ppreid": Naming(ppreid_names, first=(_RESNET, _OSNET, (*VIT, "neck._mean"))),
    "paddle-vision": Naming(paddle_vision_names),
    "paddleclas-recmodel": Naming(paddleclas_rec_names),
    "paddleclas-backbone": Naming(paddleclas_backbone_names),
    "torchvision": _TORCHVISION,
    "torchvision-parallel": _from_data_parallel(_TORCHVISION),
    "ise-reid": _ISE,
    "ise-reid-parallel": _from_data_parallel(_ISE),
    "fast-reid": Naming(fast_reid_names, from_torch=True, is_convolution=True),
    "reid-strong-baseline": Naming(
        strong_baseline_names,
        from_torch=True,
        difference="their network has no ReLU behind the first normalisation, ours has: features differ from theirs",
    ),
    "person-reid-baseline": Naming(
        person_baseline_names,
        from_torch=True,
        sign="classifier.add_block.0.weight",
        embedding_bias="classifier.add_block.0.bias",
    ),
    "torchreid": Naming(torchvision_names, first=(_OSNET,), from_torch=True),
    "pass": Naming(
        transreid_names,
        first=(VIT,),
        from_torch=True,
        sign="part_token1",
        difference="their network has three part tokens beside the class token, ours has none: features differ from "
        "theirs until it is trained",
        starts_anew=True,
    ),
    "transreid": Naming(transreid_names, first=(VIT,), from_torch=True, starts_anew=True),
    "transreid-supervised": Naming(strong_baseline_names, first=(VIT,), from_torch=True, starts_anew=True),
}
