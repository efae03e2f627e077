"""ppreid extract, tools/extract.py."""

import argparse
from pathlib import Path

from ppreid.verbs.command import add_config_arguments, read_config

EXAMPLES = """\
  python tools/extract.py -c output/demo/config.yaml -o model.weights=FILE --part train --out train.npy
  python tools/extract.py -c ResNet50_UReID_infer.yaml --part gallery --out gallery.npy
  python tools/extract.py -c ResNet50_UReID_infer.yaml -o eval.precision=auto --images crops/ --out crops.npy

An interrupted extraction goes on where it stopped when the same command runs again. tools/cluster.py --features
reads the result.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--part", choices=("train", "query", "gallery"), help="part of the data set that data.name names")
    what.add_argument("--images", type=Path, metavar="FOLDER", help="all images of a folder and its subfolders")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".npy file to write, a .csv beside it")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_config(args)
    from ppreid.app import extract

    extract(cfg, args.out, part=args.part, images=args.images)
