"""ppreid adapt, tools/adapt.py: train the last stage of a network and what follows, on kept maps of those before."""

import argparse
import os

from ppreid.base.errors import ConfigError

STAGES = 3  # that stay as they are; of a ResNet the last one is trained
EXAMPLES = """\
  python tools/adapt.py output/demo -o data.name=camera_folder -o data.root=/my/crops
  python tools/adapt.py output/ise_market1501 -o data.name=msmt17 -o solver.epochs=10 -o output_dir=output/msmt17
  python tools/adapt.py -c camera_folder.yaml -o data.root=/my/crops -o model.weights=ISE_M_model.pdparams
  python tools/adapt.py --resume output/demo-adapted

It is tools/train.py with model.frozen_stages=3 and without what needs pixels (augment.color_jitter, grayscale and
style_mix are 0), unless -o says otherwise. What the first stages make of the images is computed once and kept in
output_dir. The result is a run of the whole network like others.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    from ppreid.verbs import train

    text = "folder of a training run, whose configuration and network are where this one begins; it writes RUN-adapted"
    parser.add_argument("run", nargs="?", metavar="RUN", help=text)
    train.add_arguments(parser)
    parser.set_defaults(network=None)


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from ppreid.verbs import train

    if not (args.run or args.config) and args.resume in ("", "auto"):
        raise ConfigError(
            "which network is to adapt? give the folder of a run, -c FILE, or what to go on with (--resume DIR)"
        )
    if args.run or args.config:  # a run that goes on is what it was
        # maps have no colours
        own = [f"augment.{key}=0" for key in ("color_jitter", "grayscale", "style_mix")]
        own.append(f"model.frozen_stages={STAGES}")
        if args.run and os.path.isdir(args.run):
            own.append(f"output_dir={os.path.abspath(args.run)}-adapted")
        args.overrides = [*own, *args.overrides]  # the user's come later, and win
    train.run(args)
