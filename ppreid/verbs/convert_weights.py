"""ppreid convert-weights, tools/convert_weights.py."""

import argparse
from pathlib import Path

from ppreid.verbs.command import add_config_arguments, read_config

NAMINGS_HELP = (
    "ppreid, paddle-vision, paddleclas-recmodel, paddleclas-backbone, torchvision, torchvision-parallel, "
    "ise-reid or ise-reid-parallel; see docs/weights.md"
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
        "source", type=Path, metavar="IN", help=".safetensors, .pdparams, or PyTorch's .pth, .pth.tar, .pt, .bin"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help=".safetensors or .pdparams")
    parser.add_argument("--from", dest="from_naming", metavar="NAMING", help="names in IN; default: recognised")
    parser.add_argument(
        "--to", dest="to_naming", metavar="NAMING", default="ppreid", help=f"names in OUT: {NAMINGS_HELP}"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    add_config_arguments(parser, default="base.yaml")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_config(args)
    from ppreid.app import convert_weights

    convert_weights(
        cfg,
        args.source,
        args.target,
        from_naming=args.from_naming,
        to_naming=args.to_naming,
        overwrite=args.overwrite,
    )
