"""ppreid cluster, tools/cluster.py."""

import argparse
from pathlib import Path

from ppreid.base.errors import ConfigError
from ppreid.verbs.command import add_config_arguments, read_training_config

EXAMPLES = """\
  python tools/cluster.py -c output/demo/config.yaml -o model.weights=output/demo/checkpoint_last.safetensors
  python tools/cluster.py -c output/demo/config.yaml -o model.weights=FILE --sweep eps=0.3:0.8:0.05
  python tools/cluster.py --features features.npy -o labels.eps=0.5 --out labels.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser, default="base.yaml")
    parser.add_argument("--features", type=Path, metavar="FILE", help=".npy or .npz instead of images and a network")
    parser.add_argument("--out", type=Path, metavar="FILE", help="CSV to write, instead of output_dir/labels.csv")
    parser.add_argument("--sweep", metavar="eps=FIRST:LAST:STEP", help="print a table over eps and write nothing")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    sweep = _sweep_values(args.sweep) if args.sweep else None
    cfg = read_training_config(args)
    from ppreid.app import cluster

    cluster(cfg, features_file=args.features, output=args.out, sweep=sweep)


def _sweep_values(text: str) -> list[float]:
    """Values of "eps=FIRST:LAST:STEP", the last one included."""
    try:
        name, _, numbers = text.partition("=")
        first, last, step = map(float, numbers.split(":"))
        if name != "eps" or not (0 < first <= last <= 1 and step > 0):
            raise ValueError
    except ValueError:
        text = f"--sweep takes eps=FIRST:LAST:STEP within (0, 1], for example eps=0.3:0.8:0.05; found {text!r}"
        raise ConfigError(text) from None
    return [round(first + i * step, 10) for i in range(int((last - first) / step + 1e-9) + 1)]
