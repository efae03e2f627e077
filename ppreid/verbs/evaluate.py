"""ppreid eval, tools/eval.py."""

import argparse

from ppreid.verbs.command import add_config_arguments, read_config

EXAMPLES = """\
  python tools/eval.py -c output/demo/config.yaml -o model.weights=output/demo/checkpoint_best.safetensors
  python tools/eval.py -c ResNet50_UReID_infer.yaml
  python tools/eval.py -c ResNet50_UReID_infer.yaml -o data.name=msmt17 -o model.weights=FILE
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_config(args)
    from ppreid.app import evaluate

    evaluate(cfg)
