"""ppreid predict, tools/predict.py."""

import argparse
import json
from pathlib import Path

from ppreid.base.errors import ConfigError
from ppreid.disk.files import write_text
from ppreid.disk.places import STANDARD_OUTPUT
from ppreid.verbs.command import add_overwrite

EXAMPLES = """\
  python tools/predict.py net crops/ --out crops.npy
  python tools/predict.py net query.jpg gallery/ --out features.npy --runtime paddle
  python tools/predict.py net a.jpg b.jpg --compare

Runs what tools/export.py wrote, with onnxruntime or Paddle Inference and without any code of training. The features
are those of tools/extract.py; tools/cluster.py --features reads them. An interrupted run goes on where it stopped.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("exported", type=Path, metavar="EXPORTED", help="folder made by tools/export.py")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="image files, and folders of them")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FILE", help=".npy file to write, a .csv with the paths beside it")
    what.add_argument("--compare", action="store_true", help="print the similarity of two images as JSON")
    add_overwrite(parser, "features that are finished, or a .csv of somebody else")
    parser.add_argument("--runtime", default="auto", metavar="NAME", help="onnx, paddle or auto (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="images per forward pass (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size is {args.batch_size}; it must be at least 1")
    if args.compare and len(args.images) != 2:
        raise ConfigError(f"--compare takes two images, found {len(args.images)}")
    from ppreid.export.predict import compare, predict

    if args.compare:
        first, second = args.images
        similarity = compare(args.exported, first, second, runtime=args.runtime)
        text = json.dumps({"images": [str(first), str(second)], "similarity": round(similarity, 6)})
        write_text(STANDARD_OUTPUT, text + "\n")
    else:
        predict(
            args.exported,
            args.images,
            args.out,
            runtime=args.runtime,
            batch_size=args.batch_size,
            overwrite=args.overwrite,
        )
