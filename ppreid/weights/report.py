"""What loading weights did, or why they do not fit: which network they are of, what to set, a few differences."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import printable
from ppreid.weights.files import listed
from ppreid.weights.name_rules import NAMINGS
from ppreid.weights.network import Shapes, is_backbone_only, network_of, own_settings

COUNTER = "num_batches_tracked"  # torch's, in every normalisation; nothing reads it
MAX_OF_A_GROUP = 4  # names; of larger groups, e.g. a second network, the number is said


class LoadReport(NamedTuple):
    """What `load_weights` did.

    Attributes:
        path: the file.
        sha256: its digest, 64 hexadecimal digits.
        entry: the part of the file that was read, e.g. "state_dict"; "" is the whole file.
        naming: whose parameter names the file uses, a key of NAMINGS.
        num_loaded: number of tensors copied into the model.
        dropped: names in the file that were left out (classifier heads, counters of batches).
        kept: names in the model that kept their initial value.
        note: what else to know about the file; "" is nothing.
    """

    path: Path
    sha256: str
    entry: str
    naming: str
    num_loaded: int
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    note: str = ""

    def __str__(self) -> str:
        """One line for the log."""
        place = f"{self.path}, entry {self.entry!r}" if self.entry else str(self.path)
        parts = [f"{self.num_loaded} tensors from {place} ({self.naming} names, sha256 {self.sha256})"]
        if self.dropped:
            parts.append(f"left out: {grouped(self.dropped)}")
        if self.kept:
            parts.append(f"not in the file: {listed(self.kept)}")
        return "; ".join([*parts, self.note] if self.note else parts)


def grouped(names: Iterable[str]) -> str:
    """Names for a person: every head and every layer is named, however many counters there are."""
    names = list(names)
    counters = [name for name in names if name.endswith(COUNTER)]
    layers: dict[str, list[str]] = {}
    for name in names:
        if not name.endswith(COUNTER):
            layers.setdefault(_layer(name), []).append(name)
    parts: list[str] = []
    for layer, members in layers.items():
        few = len(members) <= MAX_OF_A_GROUP
        parts += map(printable, members) if few else [f"{printable(layer)}.* ({len(members)} tensors)"]
    if counters:
        parts.append(f"{len(counters)} counters ({COUNTER})")
    return ", ".join(parts)


def _layer(name: str) -> str:
    """First part of a name that says something: "module.encoder_k.layer1.0" -> "module.encoder_k"."""
    parts = name.split(".")
    depth = next((i for i, part in enumerate(parts) if part not in ("module", "_orig_mod", "model", "network")), 0)
    return ".".join(parts[: depth + 1])


_TOKEN, _STEM = "backbone.cls_token", "patch_embed.conv."
MAX_NAMES = 4  # of each kind of difference; which network it is says more than all names
MAX_SHAPES = 2  # which are long


def mismatches(expected: Shapes, found: Mapping[str, np.ndarray], unknown: Sequence[str]) -> list[str]:
    """The differences between a model and a file, one line for each kind.

    Args:
        expected: {our name: shape} of the model.
        found: {our name: array} of the file.
        unknown: names in the file that the model does not have.

    Returns:
        Lines; none if everything fits.
    """
    missing = [name for name in expected if name not in found]
    differing = [
        f"{name} (file {found[name].shape}, model {shape})"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    no_floats = [f"{name} ({array.dtype})" for name, array in found.items() if array.dtype.kind != "f"]
    groups = {
        "missing in the file": missing,
        "unknown to the model": unknown,
        "of another shape": differing,
        "not of a floating-point type": no_floats,
    }
    return [
        f"{len(names)} {what}: {listed(names, MAX_SHAPES if names is differing else MAX_NAMES)}"
        for what, names in groups.items()
        if names
    ]


def advice(path: Path, shapes: Shapes, naming: str, state: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Say which network a file is of, which one the model is, and which keys make them the same.

    Args:
        path: the file.
        shapes: {name in the file: shape}.
        naming: whose names they are, a key of NAMINGS.
        state: of the model, by our names.

    Yields:
        At most three lines.
    """
    theirs = {**network_of(shapes, naming), **own_settings(path)}
    ours = network_of({name: tuple(tensor.shape) for name, tensor in state.items()}, "ppreid")
    if is_backbone_only(shapes, naming) and NAMINGS[naming].names(["neck.weight"])["neck.weight"] not in shapes:
        yield (
            "it holds a backbone only, without the layers behind it: training can start from it (train -o "
            f"model.weights={printable(str(path))}), for anything else give the file of a trained network"
        )
    if _TOKEN in state and any(_STEM in name for name in shapes) != any(_STEM in name for name in state):
        other = ("", "vit_small_ics") if any(_STEM in name for name in shapes) else ("no ", "vit_small")
        yield f"the file has {other[0]}{_STEM}*: use {theirs.get('model.backbone', other[1])}"
    if "model.backbone" not in theirs:
        yield "it is of a network that ppreid does not have: none of its networks has these layers"
    elif difference := between_networks(theirs, ours):
        yield difference


def between_networks(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Say which network a file is of, which one the model is, and which keys make them the same; "" if they are.

    Args:
        theirs: keys of a configuration, as `network_of` tells them, of the file.
        ours: of the model.
    """
    differing = {key: value for key, value in theirs.items() if ours.get(key, value) != value}
    names = {side: _in_words(keys) for side, keys in (("file", theirs), ("model", ours))}
    wanted = " ".join(f"-o {key}={printable(value)}" for key, value in differing.items())
    return f"the file is of {names['file']}, the model is {names['model']}; pass {wanted}" if differing else ""


def _in_words(network: Mapping[str, str]) -> str:
    """A network in a few words, e.g. "resnet50, pooling gem, embedding of 512"."""
    parts = [network.get("model.backbone", "another network")]
    if network.get("model.base_width", "64") != "64":
        parts.append(f"base width {network['model.base_width']}")
    if "model.pooling" in network:
        parts.append(f"pooling {network['model.pooling']}")
    if network.get("model.embedding_dim", "0") != "0":
        parts.append(f"embedding of {network['model.embedding_dim']}")
    if network.get("model.parts", "1") != "1":
        parts.append(f"{network['model.parts']} parts")
    return printable(", ".join(parts))
