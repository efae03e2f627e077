"""Whose names the parameters of a file have, and the way from there to ours and back."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from ppreid.weights.name_rules import NAMINGS, VIT, Naming

# What programs put before all names of a network that they wrap: DataParallel, torch.compile, Lightning's attribute,
# momentum contrast (of whose two networks the one with the gradient is taken), DINO (beside whose backbone is a head).
_WRAPPERS = re.compile(r"((module|_orig_mod|model|network|net|encoder_q|backbone)\.)*")


def namings_of(names: Iterable[str]) -> list[str]:
    """The namings that a network can be written in.

    Args:
        names: all our names of its tensors.

    Returns:
        Keys of NAMINGS.
    """
    ours = set(names)
    return [
        key
        for key, naming in NAMINGS.items()
        if any(ours.issuperset(first) for first in naming.first)
        and (not naming.sign or naming.sign in naming.names(ours).values())
    ]


def detect_naming(names: Iterable[str]) -> str | None:
    """Recognise a naming by what a file calls the first tensors of a network.

    Args:
        names: the tensor names of the file, without what wraps them (see `find_wrapper`).

    Returns:
        A key of NAMINGS, or None if no naming fits.
    """
    present = set(names)
    for key, naming in NAMINGS.items():
        for first in naming.first:
            signs = {*naming.names(first).values(), *([naming.sign] if naming.sign else [])}
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
    found = prefixes_of_networks(names)
    for prefix in sorted({"", *found}, key=len):
        inside = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        if _WRAPPERS.fullmatch(prefix) and detect_naming(inside):
            return prefix
    return ""


def find_naming(tensors: Mapping[str, np.ndarray]) -> tuple[str, str | None]:
    """What wraps the network in a file, and whose names it has.

    Args:
        tensors: {name in the file: array}.

    Returns:
        See `find_wrapper` and `detect_naming`.
    """
    # ViTs of DINO and of ours have the same names where a neck is missing; but a matrix is (in, out) in ours
    weight = tensors.get(VIT[1])
    if weight is not None and weight.ndim == 2 and weight.shape[1] == 3 * weight.shape[0]:
        return "", "ppreid"
    wrapper = find_wrapper(tensors)
    return wrapper, detect_naming(name.removeprefix(wrapper) for name in tensors if name.startswith(wrapper))


def prefixes_of_networks(names: Iterable[str]) -> set[str]:
    """What stands before names that end like the first tensor of a network, in any naming."""
    firsts = {naming.names(first)[first[0]] for naming in NAMINGS.values() for first in naming.first}
    return {name.removesuffix(first) for name in names for first in firsts if name.endswith(first)}


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
