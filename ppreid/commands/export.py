"""ppreid export, tools/export.py."""

import argparse
from pathlib import Path

from ppreid.commands.command import Command, add_config_arguments, read_config

EXAMPLES = """\
  python tools/export.py -c output/demo/config.yaml -o model.weights=output/demo/checkpoint_best.safetensors --out net
  python tools/export.py -c ResNet50_UReID_infer.yaml --out net
  python tools/export.py -c ResNet50_UReID_infer.yaml --out net --formats paddle --overwrite

The exported network takes RGB pixels and normalises them itself; export.json beside it says everything a caller must
know. Nothing is written unless every format computes the features of the network to 1e-4. tools/predict.py runs it.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to make")
    parser.add_argument(
        "--formats",
        default="paddle,onnx",
        metavar="LIST",
        help="paddle (Paddle Inference), onnx, or both with a comma (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in FOLDER")


def _run(args: argparse.Namespace) -> None:
    cfg = read_config(args)
    from ppreid.app import export

    export(cfg, args.out, formats=args.formats.split(","), overwrite=args.overwrite)


COMMAND = Command("a network for programs without ppreid: Paddle Inference and ONNX", EXAMPLES, _add_arguments, _run)
