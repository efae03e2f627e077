"""ppreid convert-weights, tools/convert_weights.py: read, match with a network, rename, write."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import ConfigError, WeightsError, unknown_choice
from ppreid.config.schema import Config
from ppreid.disk.checks import check_place
from ppreid.disk.files import file_sha256
from ppreid.disk.outputs import refuse_inputs
from ppreid.run.log import logger
from ppreid.verbs.command import add_config_arguments, add_overwrite, read_config

if TYPE_CHECKING:
    import numpy as np

NAMINGS_HELP = (
    "ppreid, paddle-vision, paddleclas-recmodel, paddleclas-backbone, torchvision, torchvision-parallel, "
    "ise-reid, ise-reid-parallel, fast-reid, reid-strong-baseline, person-reid-baseline, torchreid, pass, transreid or "
    "transreid-supervised; see docs/weights.md"
)
EXAMPLES = """\
  python tools/convert_weights.py model_best.pth.tar ise_market.safetensors
  python tools/convert_weights.py ISE_M_model.pdparams ise_torch.safetensors --to ise-reid
  python tools/convert_weights.py checkpoint_best.safetensors ISE.pdparams --to paddleclas-recmodel
  python tools/convert_weights.py resnet101.pth resnet101.safetensors -o model.backbone=resnet101
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument(
        "source", type=Path, metavar="IN", help="safetensors, .pdparams or what torch.save wrote, of any name"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help=".safetensors or .pdparams")
    parser.add_argument("--from", dest="from_naming", metavar="NAMING", help="names in IN; default: recognised")
    parser.add_argument(
        "--to", dest="to_naming", metavar="NAMING", default="ppreid", help=f"names in OUT: {NAMINGS_HELP}"
    )
    add_overwrite(parser, "OUT if it exists")
    add_config_arguments(parser, default="base.yaml")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    convert_weights(
        read_config(args),
        args.source,
        args.target,
        from_naming=args.from_naming,
        to_naming=args.to_naming,
        overwrite=args.overwrite,
    )


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

    A target that holds exactly these tensors already is left as it is: the call that wrote it may have been killed.

    Args:
        cfg: model.backbone, base_width, pooling and embedding_dim say which network the weights are for.
        source: any file that `read_tensors` reads; of a backbone alone, the other layers stay missing.
        target: .safetensors or .pdparams; numbers are not changed, except that bfloat16 becomes float32.
        from_naming: whose names the source uses, a key of NAMINGS; None recognises it.
        to_naming: whose names the target shall use.
        overwrite: replace an existing target, whatever it holds.

    Raises:
        ConfigError: a naming is unknown or for other networks, or the target holds something else or is the source.
        WriteError: the target has no folder, or cannot be written.
        WeightsError: the source cannot be read or does not fit the network, or the target has another suffix.
    """
    from ppreid import wiring
    from ppreid.weights.files import write_tensors
    from ppreid.weights.match import BEHIND_BACKBONE, match_weights
    from ppreid.weights.name_rules import NAMINGS
    from ppreid.weights.names import from_ppreid_names, namings_of

    for option, naming in (("--from", from_naming), ("--to", to_naming)):
        if naming is not None and naming not in NAMINGS:
            raise ConfigError(unknown_choice(option, naming, NAMINGS))
    _check_target(target, source)
    logger.info("network: %s (-o model.backbone and the other keys of model choose another)", cfg.model.backbone)
    model = wiring.reid_net(cfg.model, image_size=cfg.data.size)
    if to_naming not in (fitting := namings_of(model.state_dict())):
        raise ConfigError(unknown_choice(f"--to for {cfg.model.backbone}", to_naming, fitting))
    tensors, report = match_weights(model, source, allow_missing=BEHIND_BACKBONE, naming=from_naming)
    logger.info("read: %s", report)
    renamed = from_ppreid_names(tensors, to_naming)
    if target.exists() and not overwrite:
        if not _holds(target, renamed):
            raise ConfigError(f"{target} exists; pass --overwrite to replace it, or another name")
        logger.info("%s is complete already", target)
        return
    write_tensors(target, renamed)
    logger.info("written: %d tensors to %s (%s names, sha256 %s)", len(tensors), target, to_naming, file_sha256(target))


def _check_target(target: Path, source: Path) -> None:
    from ppreid.weights.files import check_writable_suffix

    check_writable_suffix(target)
    check_place(target)
    refuse_inputs("OUT", target, [source])


def _holds(path: Path, tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether a file holds these tensors and no others."""
    import numpy as np

    from ppreid.weights.files import read_tensors

    try:
        found = read_tensors(path).tensors
    except WeightsError:
        return False
    same = (found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in tensors.items())
    return found.keys() == tensors.keys() and all(same)
