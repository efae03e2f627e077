"""ppreid train, tools/train.py: cluster, train, evaluate, save; again and again."""

import argparse
from typing import Any

from ppreid.base.environment import ask_for_determinism
from ppreid.config.schema import TrainingConfig
from ppreid.verbs.command import add_config_arguments, read_training_config

EXAMPLES = """\
  python tools/train.py -c demo.yaml
  python tools/train.py -c ise_market1501.yaml -o data.root=/datasets -o output_dir=output/first
  python tools/train.py -c ise_market1501.yaml --resume
  python tools/train.py -c ise_market1501.yaml -o output_dir=output/second --resume output/first

The files under configs/ are found by name. Every key can be set with -o; a wrong key lists the right ones.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default="",
        metavar="auto|DIR|FILE",
        help="go on from the last checkpoint in output_dir (auto, or nothing behind --resume), in DIR, or from FILE",
    )
    group.add_argument("--overwrite", action="store_true", help="replace an earlier run in output_dir")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_training_config(args)
    if cfg.deterministic:
        ask_for_determinism()
    train(cfg, overwrite=args.overwrite, resume=args.resume)


def train(cfg: TrainingConfig, *, overwrite: bool = False, resume: str = "") -> list[dict[str, Any]]:
    """Train a network on images whose identities are unknown; arguments and result are those of `app.training`."""
    from ppreid.app import training

    return training.train(cfg, overwrite=overwrite, resume=resume)
