"""Whose names the parameters of a file have, and the way from there to ours and back."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ppreid.weights.name_rules import (
    NamesFunction,
    fast_reid_names,
    ise_torch_names,
    paddle_vision_names,
    paddleclas_backbone_names,
    paddleclas_rec_names,
    person_baseline_names,
    ppreid_names,
    strong_baseline_names,
    torchvision_names,
)

# What programs put before all names of a network that they wrap: DataParallel, torch.compile, Lightning's attribute,
# momentum contrast (of whose two networks the one with the gradient is taken).
_WRAPPERS = re.compile(r"((module|_orig_mod|model|network|net|encoder_q)\.)*")
_SIGNS = ("backbone.conv1.weight", "backbone.bn1._mean")


class Naming(NamedTuple):
    """One naming of parameters.

    Attributes:
        names: all our names to {ours: theirs}.
        from_torch: matrices of linear layers are stored transposed, (out, in), and counters of batches exist.
        sign: a name beside the first layers that a file of this naming has; "" where they suffice.
        embedding_bias: of the linear layer before the neck, which ours does not have; "" where theirs has none either.
        is_convolution: the embedding is stored as a convolution, (out, in, 1, 1).
        difference: in what their network differs from ours with the same parameters; "" is nothing.
    """

    names: NamesFunction
    from_torch: bool = False
    sign: str = ""
    embedding_bias: str = ""
    is_convolution: bool = False
    difference: str = ""


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
    "ppreid": Naming(ppreid_names),
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
}


def detect_naming(names: Iterable[str]) -> str | None:
    """Recognise a naming by what a file calls the first convolution and the mean behind it.

    Args:
        names: the tensor names of the file, without what wraps them (see `find_wrapper`).

    Returns:
        A key of NAMINGS, or None if no naming fits.
    """
    present = set(names)
    for key, naming in NAMINGS.items():
        signs = {*naming.names(_SIGNS).values(), *([naming.sign] if naming.sign else [])}
        if signs <= present:
            return key
    return None


def find_wrapper(names: Iterable[str]) -> str:
    """What stands before all names of the network in a file, e.g. "module.encoder_q."; mostly nothing.

    Args:
        names: the tensor names of the file.

    Returns:
        The shortest prefix without which a naming is recognised; "" if none is needed, or none helps.
    """
    names = list(names)
    firsts = {naming.names(_SIGNS)[_SIGNS[0]] for naming in NAMINGS.values()}
    found = {name.removesuffix(first) for name in names for first in firsts if name.endswith(first)}
    for prefix in sorted({"", *found}, key=len):
        inside = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        if _WRAPPERS.fullmatch(prefix) and detect_naming(inside):
            return prefix
    return ""


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

    Note:
        A bias of the embedding is taken into the running mean of the neck behind it, which changes no feature:
        (x + bias) - mean = x - (mean - bias).
    """
    rules = NAMINGS[naming]
    ours = {theirs: name for name, theirs in rules.names(model_names).items()}
    found = {ours[theirs]: _ours(array, ours[theirs], rules) for theirs, array in tensors.items() if theirs in ours}
    explained = set(ours)
    bias, mean = tensors.get(rules.embedding_bias), found.get("neck._mean")
    if bias is not None and mean is not None and "embedding.weight" in found and bias.shape == mean.shape:
        exact = np.result_type(mean.dtype, bias.dtype, np.float32)
        found["neck._mean"] = mean.astype(exact) - bias.astype(exact)
        explained.add(rules.embedding_bias)
    return found, [name for name in tensors if name not in explained]


def from_ppreid_names(tensors: Mapping[str, np.ndarray], naming: str) -> dict[str, np.ndarray]:
    """Rename our tensors to another naming, the inverse of `to_ppreid_names`.

    Args:
        tensors: {our name: array}, a whole state dict.
        naming: a key of NAMINGS.

    Returns:
        {their name: array}, matrices in the order of that framework.
    """
    rules = NAMINGS[naming]
    theirs = rules.names(tensors)
    return {theirs[name]: _theirs(array, name, rules) for name, array in tensors.items()}


def _ours(array: np.ndarray, name: str, rules: Naming) -> np.ndarray:
    if rules.is_convolution and name == "embedding.weight" and array.ndim == 4 and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    return array.T if rules.from_torch and array.ndim == 2 else array


def _theirs(array: np.ndarray, name: str, rules: Naming) -> np.ndarray:
    turned = array.T if rules.from_torch and array.ndim == 2 else array
    return turned[:, :, None, None] if rules.is_convolution and name == "embedding.weight" else turned
