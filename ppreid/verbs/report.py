"""ppreid report, tools/report.py."""

import argparse
from pathlib import Path

from ppreid.run.log import logger
from ppreid.verbs.command import add_override

EXAMPLES = """\
  python tools/report.py output/demo
  python tools/report.py output/demo -o data.root=/datasets -o report.projection=tsne --out demo.html
  python tools/report.py output/baseline output/ise --out comparison.html

The first writes output/demo/report.html, also while that run is going on. Several runs are laid over each other.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a training run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="HTML file to write; default report.html in RUN")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="network to look at")
    parser.add_argument("--no-images", action="store_true", help="use neither network nor data set")
    add_override(parser, what="set one key of the run's configuration, e.g. where its data set is now")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from ppreid.app import report

    path = report(
        args.runs, out=args.out, overrides=args.overrides, checkpoint=args.checkpoint, images=not args.no_images
    )
    logger.info("written: %s", path)
