"""How other code bases name the parameters of the same network.

Each naming is a pure function from our names to theirs, {ours: theirs}; it is one-to-one, so its inverse reads a
file and the function itself writes one. Names are those of `ReIDNet.state_dict()`, e.g.
backbone.layer1.0.conv1.weight, pooling.p, embedding.weight, neck._mean.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

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
    """Naming of torchvision's ResNet, and IBN-Net's, which follows it."""
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


def _from_data_parallel(naming: NamesFunction) -> NamesFunction:
    """The same names as torch.nn.DataParallel saves them, with the prefix "module."."""
    return lambda names: {ours: f"module.{theirs}" for ours, theirs in naming(names).items()}


def _torch_leaf(name: str) -> str:
    name = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
    return name.replace(".IN.scale", ".IN.weight")


class Naming(NamedTuple):
    """One naming of parameters.

    Attributes:
        names: all our names to {ours: theirs}.
        from_torch: matrices of linear layers are stored transposed, (out, in), and counters of batches exist.
    """

    names: NamesFunction
    from_torch: bool = False


NAMINGS = {
    "ppreid": Naming(ppreid_names),
    "paddle-vision": Naming(paddle_vision_names),
    "paddleclas-recmodel": Naming(paddleclas_rec_names),
    "paddleclas-backbone": Naming(paddleclas_backbone_names),
    "torchvision": Naming(torchvision_names, from_torch=True),
    "torchvision-parallel": Naming(_from_data_parallel(torchvision_names), from_torch=True),
    "ise-reid": Naming(ise_torch_names, from_torch=True),
    "ise-reid-parallel": Naming(_from_data_parallel(ise_torch_names), from_torch=True),
}


def detect_naming(names: Iterable[str]) -> str | None:
    """Recognise a naming by what a file calls the first convolution and the mean behind it.

    Args:
        names: the tensor names of the file.

    Returns:
        A key of NAMINGS, or None if no naming fits.
    """
    present = set(names)
    for key, naming in NAMINGS.items():
        if present.issuperset(naming.names(["backbone.conv1.weight", "backbone.bn1._mean"]).values()):
            return key
    return None


def to_ppreid_names(
    tensors: Mapping[str, np.ndarray], model_names: Iterable[str], naming: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Rename the tensors of a file.

    Args:
        tensors: {name in the file: array}.
        model_names: all names of the model's state dict.
        naming: a key of NAMINGS.

    Returns:
        {our name: array}, matrices in Paddle's (in, out) order; and the names that the naming does not explain.
    """
    names, from_torch = NAMINGS[naming]
    ours = {theirs: name for name, theirs in names(model_names).items()}
    known = {ours[theirs]: array for theirs, array in tensors.items() if theirs in ours}
    renamed = {name: array.T if from_torch and array.ndim == 2 else array for name, array in known.items()}
    return renamed, [name for name in tensors if name not in ours]


def from_ppreid_names(tensors: Mapping[str, np.ndarray], naming: str) -> dict[str, np.ndarray]:
    """Rename our tensors to another naming, the inverse of `to_ppreid_names`.

    Args:
        tensors: {our name: array}, a whole state dict.
        naming: a key of NAMINGS.

    Returns:
        {their name: array}, matrices in the order of that framework.
    """
    names, from_torch = NAMINGS[naming]
    theirs = names(tensors)
    return {theirs[name]: array.T if from_torch and array.ndim == 2 else array for name, array in tensors.items()}
