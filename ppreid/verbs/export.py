"""ppreid export, tools/export.py."""

import argparse
from pathlib import Path

from ppreid.base.errors import ConfigError
from ppreid.verbs.command import add_config_arguments, read_config

EXAMPLES = """\
  python tools/export.py -c output/demo/config.yaml -o model.weights=output/demo/checkpoint_best.safetensors --out net
  python tools/export.py -c ResNet50_UReID_infer.yaml --out net
  python tools/export.py -c ResNet50_UReID_infer.yaml --out net --formats paddle --overwrite
  python tools/export.py --to fiftyone --features train.npy --labels output/demo/labels.csv --out view

The exported network takes RGB pixels and normalises them itself; export.json beside it says everything a caller must
know. Nothing is written unless every format computes the features of the network to 1e-4. tools/predict.py runs it.
--to fiftyone writes images (by path), features and labels in a form that FiftyOne loads.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser, default="base.yaml")
    parser.add_argument(
        "--to", choices=("network", "fiftyone"), default="network", help="what to export (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to make")
    parser.add_argument(
        "--formats",
        default="paddle,onnx",
        metavar="LIST",
        help="paddle (Paddle Inference), onnx, or both with a comma (default: %(default)s)",
    )
    parser.add_argument("--features", type=Path, metavar="FILE", help="for fiftyone: of tools/extract.py")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="for fiftyone: CSV with path and cluster")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in FOLDER")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.to == "fiftyone":
        _run_fiftyone(args)
        return
    if args.features or args.labels:
        raise ConfigError("--features and --labels go with --to fiftyone")
    cfg = read_config(args)
    from ppreid.app import export

    export(cfg, args.out, formats=args.formats.split(","), overwrite=args.overwrite)


def _run_fiftyone(args: argparse.Namespace) -> None:
    if args.features is None:
        raise ConfigError("--to fiftyone needs --features FILE; tools/extract.py writes it")
    from ppreid.app import export_fiftyone

    export_fiftyone(args.features, args.out, labels_file=args.labels, overwrite=args.overwrite)
