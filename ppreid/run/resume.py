"""Going on with a run: from where, and what may differ between it and its continuation."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.run.checkpoint import Checkpoint
from ppreid.tables import NEIGHBOURS

logger = logging.getLogger("ppreid")

# what is said when files hold something else than before, by the fact of a checkpoint that shows it
REPLACED_IMAGES = {
    "contents": "training images have the names of before, but some of the files were replaced; the run goes on "
    "differently from here, and no uninterrupted run equals it",
    "tracks": "the tracks of the training images, or their times, are not those of before (tracks.csv, "
    "data.track_pattern); what uses them (labels.unit, labels.cannot_link, batch.across) goes on differently from here",
    "gallery": "query or gallery images are not those of before; evaluations of before and after do not compare, and "
    "neither does what the best network is chosen by",
}
Effect = Literal["none", "from here on", "refused"]

# Longest match wins; keys that are not here are refused. "none": the run goes on as it would have. "from here on": it
# goes on, but is no longer what an uninterrupted run with either value would be.
EFFECTS: dict[str, Effect] = {
    "output_dir": "none",
    "plugins": "from here on",  # another version may be a comment or another loss
    "device": "from here on",  # devices round differently
    "deterministic": "from here on",  # so do kernels
    "data.root": "none",  # the names of the images are compared
    "data.num_workers": "none",
    "data.worker_timeout": "none",
    "data.camera_folder": "none",  # names and cameras of the images are compared
    **dict.fromkeys(("data.track_pattern", "data.frame_rate", "data.clock"), "from here on"),  # tracks are not
    "model.weights": "none",  # what training started from is in the checkpoint
    "model.weights_sha256": "none",
    "model.position_ratio": "none",  # of that file
    **dict.fromkeys(("model.drop_path", "model.neck_centre"), "from here on"),
    "augment": "from here on",
    "batch.accumulate": "from here on",  # sums round differently
    "labels": "from here on",
    "memory": "from here on",
    "ise": "from here on",
    "solver": "from here on",
    "solver.on_nonfinite": "none",
    "solver.max_nonfinite": "none",
    "amp": "from here on",
    "solver.optimizer": "refused",  # the moments of one are not those of another
    "solver.iters": "refused",  # steps are counted in it
    "eval": "from here on",  # batch size, engine and precision round differently
    "eval.every": "none",
    "eval.protocol": "none",
    "eval.ignore_camera": "none",
    **dict.fromkeys(("eval.flip", "eval.rerank", "eval.rerank_k1", "eval.rerank_k2", "eval.rerank_lambda"), "none"),
    "log": "none",
    "checkpoint": "none",
    "report": "none",
}
# Keys that only a search through lists reads; with another one a change of them changes nothing.
READ_WITH_LISTS = ("labels.num_probes",)


def check_resumable(
    checkpoint: Checkpoint, config: Mapping[str, Any], images: Mapping[str, Any], *, defaults: Mapping[str, Any]
) -> None:
    """Compare a run with its continuation, and show every configuration key that differs.

    Args:
        checkpoint: of the run.
        config: of the continuation, as nested dicts.
        images: digest of the training images of the continuation.
        defaults: of every key, for checkpoints of before the key was.

    Raises:
        ConfigError: keys differ that must not; they are listed.
        DataError: the training images are others.
    """
    before_it = with_defaults(checkpoint.config, defaults)
    has_lists = _has_lists(before_it) or _has_lists(config)
    changed = [row for row in changed_keys(before_it, config) if has_lists or row[0] not in READ_WITH_LISTS]
    refused = [(key, old, new) for key, old, new in changed if effect(key) == "refused"]
    if refused:
        lines = "\n".join(f"  - {key}: {old!r} then, {new!r} now" for key, old, new in refused)
        raise ConfigError(
            f"{checkpoint.path} cannot be continued with this configuration; change these keys back, or start a new "
            f"run in another output_dir\n{lines}"
        )
    before = checkpoint.images
    if any(before.get(name) != images[name] for name in ("count", "sha256")):
        raise DataError(
            f"the training images are not those of {checkpoint.path}: {before['count']} then, {images['count']} now, "
            "or other names or cameras; restore them, or start a new run in another output_dir"
        )
    for name, text in REPLACED_IMAGES.items():
        if name in before and name in images and before[name] != images[name]:
            warnings.warn(text, PpreidWarning, stacklevel=2)
    if changed:
        width = max(len(key) for key, _, _ in changed)
        lines = "\n".join(f"  {key:<{width}}  {old!r} -> {new!r}" for key, old, new in changed)
        logger.info("changed since the checkpoint:\n%s", lines)
    if keys := [key for key, _, _ in changed if effect(key) == "from here on"]:
        text = f"the run goes on differently from here, because of {', '.join(keys)}; no uninterrupted run equals it"
        warnings.warn(text, PpreidWarning, stacklevel=2)


def _has_lists(config: Mapping[str, Any]) -> bool:
    """Whether the neighbours of a configuration may be looked for in lists."""
    neighbours = config.get("labels", {}).get("neighbours")
    return neighbours in NEIGHBOURS and "lists" in NEIGHBOURS[neighbours].above


def effect(key: str) -> Effect:
    """What a change of a dotted key does, see EFFECTS."""
    while key and key not in EFFECTS:
        key = key.rpartition(".")[0]
    return EFFECTS.get(key, "refused")


def with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of an earlier version, with the keys that came later: their defaults change nothing."""
    complete = {**defaults, **values}
    for name, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(values.get(name), Mapping):
            complete[name] = with_defaults(values[name], default)
    return complete


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, old and new value of every difference between nested dicts; None for what one of them lacks."""
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from changed_keys(before, after, f"{prefix}{name}.")
        elif before != after:
            yield prefix + name, before, after
