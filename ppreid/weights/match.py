"""Weights into a model: every tensor of the file finds its place, or loading stops and says which do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from paddle import nn
from paddle.utils import download
from paddle.vision.models.resnet import model_urls

from ppreid.base.errors import WeightsError, printable, unknown_choice
from ppreid.disk.files import file_sha256
from ppreid.models.reid_net import AUXILIARY, PARTS
from ppreid.weights.checks import check_numbers
from ppreid.weights.files import listed, read_tensors
from ppreid.weights.name_rules import NAMINGS
from ppreid.weights.names import find_naming, prefixes_of_networks, to_ppreid_names
from ppreid.weights.positions import fit_positions, join_class_position
from ppreid.weights.report import COUNTER, MAX_NAMES, LoadReport, advice, mismatches

# What stands behind the feature vector, or beside the network, in the files of others; nothing that features need.
CLASSIFIERS = (
    "fc.",
    "backbone.fc.",
    "base.fc.",
    "model.fc.",  # of ImageNet, left in place by Person_reID_baseline_pytorch
    "head.",
    "head_dist.",  # of the distilled networks of DeiT, as the token that it reads
    "dist_token",
    "pre_logits.",
    "part_token",  # of PASS
    "part1_pos",
    "part2_pos",
    "part3_pos",
    "classifier.",
    "module.fc.",
    "module.classifier.",
    "heads.weight",  # the classifier of fast-reid, and how it normalises pixels
    "heads.classifier.",
    "pixel_mean",
    "pixel_std",
    AUXILIARY,
    PARTS,
)
# what a backbone file, e.g. from ImageNet, does not have
BEHIND_BACKBONE = ("pooling.", "embedding.", "neck.", "stripe_necks.")
IMAGENET_BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class MatchedWeights(NamedTuple):
    """The tensors of a file under our names, each with the shape that the model has, and how they were found."""

    tensors: dict[str, np.ndarray]
    report: LoadReport


def load_weights(
    model: nn.Layer,
    path: str | Path,
    *,
    drop: tuple[str, ...] = CLASSIFIERS,
    allow_missing: tuple[str, ...] = (),
    as_start: bool = False,
    sha256: str | None = None,
) -> LoadReport:
    """Copy a weights file into a model; whatever does not match is an error.

    Args:
        model: a ReIDNet; unchanged if an error is raised.
        path: see `match_weights`, as the other arguments.
        drop: prefixes of names in the file that are left out.
        allow_missing: prefixes of names in the model that keep their value if the file does not have them.
        as_start: see `match_weights`.
        sha256: expected digest of the file, or None.

    Returns:
        What was loaded, left out and kept.

    Raises:
        WeightsError: see `match_weights`.
    """
    tensors, report = match_weights(
        model, path, drop=drop, allow_missing=allow_missing, as_start=as_start, sha256=sha256
    )
    # Files in half precision are widened; set_state_dict itself insists on the model's type, and on all names.
    loaded = {name: array.astype(np.float32) for name, array in tensors.items()}
    model.set_state_dict({**model.state_dict(), **loaded})
    return report


def match_weights(
    model: nn.Layer,
    path: str | Path,
    *,
    drop: tuple[str, ...] = CLASSIFIERS,
    allow_missing: tuple[str, ...] = (),
    as_start: bool = False,
    sha256: str | None = None,
    naming: str | None = None,
) -> MatchedWeights:
    """Read a weights file and find the place of each of its tensors in a model, which is not changed.

    Args:
        model: a ReIDNet.
        path: see `read_tensors`.
        drop: prefixes of names in the file that are left out; torch's counters of batches always are.
        allow_missing: prefixes of names in the model that may be missing in the file, e.g. BEHIND_BACKBONE for
            ImageNet weights.
        as_start: training starts from it: what is BEHIND_BACKBONE may be missing, and is left out where the release of
            the naming has a new neck for every training.
        sha256: expected digest of the file, or None.
        naming: whose parameter names the file uses, a key of NAMINGS; None recognises it.

    Returns:
        The tensors by our names, in the type of the file, and what was found.

    Raises:
        WeightsError: see `read_tensors`; or the digest differs, the naming is not recognised, or names or shapes
            do not match, with a list of them.
    """
    path = Path(path)
    tensors, entry = read_tensors(path)
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256.lower():
        raise WeightsError(
            f"{path} has sha256 {digest}, expected {sha256}; "
            "fetch the file again, or correct the pin (model.weights_sha256, empty for none)"
        )
    check_numbers(path, tensors)
    wrapper, recognised = find_naming(tensors)
    inside = {name.removeprefix(wrapper): array for name, array in tensors.items() if name.startswith(wrapper)}
    inside = join_class_position(inside)
    naming = naming or recognised
    if naming is None:
        raise WeightsError(_unknown_naming(path, tensors))
    # what only training needs starts anew, also where the file has it
    state = {name: value for name, value in model.state_dict().items() if not name.startswith((AUXILIARY, PARTS))}
    found, unknown = to_ppreid_names(inside, state, naming)
    left_out: list[str] = []
    if as_start:
        allow_missing += BEHIND_BACKBONE
        if NAMINGS[naming].starts_anew:
            left_out = [name for name in found if name.startswith(BEHIND_BACKBONE)]
            found = {name: array for name, array in found.items() if name not in left_out}
    found = fit_positions(path, found, model)
    beside = [name for name in unknown if name.startswith(drop) or name.endswith(COUNTER)]
    beside += NAMINGS[naming].names(left_out).values()
    dropped = (*(wrapper + name for name in beside), *(name for name in tensors if not name.startswith(wrapper)))
    kept = tuple(name for name in state if name not in found and name.startswith(allow_missing))
    expected = {name: tuple(tensor.shape) for name, tensor in state.items() if name not in kept}
    problems = mismatches(expected, found, [name for name in unknown if name not in beside])
    if problems:
        shapes = {name: array.shape for name, array in inside.items()}
        raise WeightsError(
            "\n  ".join(
                [f"{path} ({naming} names) does not fit the model:", *advice(path, shapes, naming, state), *problems]
            )
        )
    report = LoadReport(path, digest, entry, naming, len(found), dropped, kept, NAMINGS[naming].difference)
    return MatchedWeights(found, report)


def _unknown_naming(path: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """A sentence about a file whose names are nobody's."""
    prefixes = sorted(prefix for prefix in prefixes_of_networks(tensors) if prefix)
    behind = f" A network may be in it, behind the unknown prefix {printable(prefixes[0])!r}." if prefixes else ""
    return (
        f"the parameter names in {path} follow no known naming ({', '.join(NAMINGS)}); it holds: "
        f"{listed(tensors, MAX_NAMES)}.{behind} If it is a network that ppreid has (model.backbone), rename its "
        "tensors to one of them, see docs/weights.md"
    )


def imagenet_weights_path(backbone: str) -> Path:
    """Path of paddle.vision's ImageNet weights, downloaded on first use into Paddle's own cache.

    Args:
        backbone: resnet18, resnet34, resnet50, resnet101 or resnet152.

    Returns:
        The cached .pdparams file.

    Raises:
        WeightsError: there are no published weights for this backbone, or they are neither cached nor reachable.
    """
    url, md5 = _imagenet_source(backbone)
    try:
        return Path(download.get_weights_path_from_url(url, md5))
    except (RuntimeError, OSError) as error:
        raise WeightsError(
            f"the ImageNet weights of {backbone} could not be downloaded ({error}); put the file from {url} "
            f"(md5 {md5}) at {imagenet_cache(backbone)}, or pass model.weights=FILE or model.weights=none"
        ) from error


def imagenet_cache(backbone: str) -> Path:
    """Where `imagenet_weights_path` keeps the weights of a backbone; the file is there once they were downloaded.

    Raises:
        WeightsError: there are no published weights for this backbone.
    """
    url, _ = _imagenet_source(backbone)
    return Path(download.WEIGHTS_HOME) / Path(url).name


def _imagenet_source(backbone: str) -> tuple[str, str]:
    """Address and MD5 of paddle.vision's weights of a backbone."""
    if "ibn" in backbone:
        raise WeightsError(
            f"paddle.vision publishes no ImageNet weights for {backbone}; pass model.weights=FILE or model.weights=none"
        )
    if backbone not in IMAGENET_BACKBONES:
        raise WeightsError(unknown_choice("the backbone with ImageNet weights", backbone, IMAGENET_BACKBONES))
    return model_urls[backbone]
