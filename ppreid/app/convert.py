"""The story of converting weights: read, match with a network, rename, write."""

import logging
from pathlib import Path

from ppreid import wiring
from ppreid.base.errors import ConfigError, unknown_choice
from ppreid.config.schema import Config
from ppreid.disk.files import file_sha256
from ppreid.weights.files import check_writable_suffix, write_tensors
from ppreid.weights.match import BEHIND_BACKBONE, match_weights
from ppreid.weights.names import NAMINGS, from_ppreid_names

logger = logging.getLogger("ppreid")


def convert_weights(
    cfg: Config,
    source: Path,
    target: Path,
    *,
    from_naming: str | None = None,
    to_naming: str = "ppreid",
    overwrite: bool = False,
) -> None:
    """Write the weights of one file under the parameter names of another code base.

    Args:
        cfg: model.backbone, base_width, pooling and embedding_dim say which network the weights are for.
        source: any file that `read_tensors` reads; of a backbone alone, the other layers stay missing.
        target: .safetensors or .pdparams; numbers are not changed, except that bfloat16 becomes float32.
        from_naming: whose names the source uses, a key of NAMINGS; None recognises it.
        to_naming: whose names the target shall use.
        overwrite: replace an existing target.

    Raises:
        ConfigError: a naming is unknown, or the target exists or has no folder.
        WeightsError: the source cannot be read or does not fit the network, or the target has another suffix.
    """
    for option, naming in (("--from", from_naming), ("--to", to_naming)):
        if naming is not None and naming not in NAMINGS:
            raise ConfigError(unknown_choice(option, naming, NAMINGS))
    _check_target(target, overwrite=overwrite)
    logger.info("network: %s (-o model.backbone and the other keys of model choose another)", cfg.model.backbone)
    model = wiring.reid_net(cfg.model)
    tensors, report = match_weights(model, source, allow_missing=BEHIND_BACKBONE, naming=from_naming)
    logger.info("read: %s", report)
    write_tensors(target, from_ppreid_names(tensors, to_naming))
    logger.info("written: %d tensors to %s (%s names, sha256 %s)", len(tensors), target, to_naming, file_sha256(target))


def _check_target(target: Path, *, overwrite: bool) -> None:
    check_writable_suffix(target)
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent} to write {target.name} to; make it first")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists; pass --overwrite to replace it, or another name")
