"""ppreid eval, tools/eval.py."""

import argparse

from ppreid.commands.command import Command, add_config_arguments, read_config

EXAMPLES = """\
  python tools/eval.py -c output/demo/config.yaml -o model.weights=output/demo/checkpoint_best.safetensors
  python tools/eval.py -c ResNet50_UReID_infer.yaml
  python tools/eval.py -c ResNet50_UReID_infer.yaml -o data.name=msmt17 -o model.weights=FILE
"""


def _run(args: argparse.Namespace) -> None:
    cfg = read_config(args)
    from ppreid.app import evaluate

    evaluate(cfg)


COMMAND = Command("mAP and CMC of a trained network", EXAMPLES, add_config_arguments, _run)
