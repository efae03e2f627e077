"""ppreid ablate, tools/ablate.py."""

import argparse
from pathlib import Path

from ppreid.base.environment import ask_for_determinism
from ppreid.base.errors import ConfigError, unknown_choice
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig
from ppreid.tables import OBJECTIVES
from ppreid.verbs.command import add_override, for_training

EXAMPLES = """\
  python tools/ablate.py -c demo.yaml --seeds 3
  python tools/ablate.py -c demo.yaml --rows baseline,ise --seeds 2 -o solver.epochs=6 --out output/short
  python tools/ablate.py --dataset market1501 --seeds 3 -o data.root=/datasets

The same command again goes on where it was interrupted and does not repeat finished runs. --dataset takes the
configurations of the paper's table: baseline_market1501.yaml, ise_pli_market1501.yaml and so on.
"""
ROWS = tuple(OBJECTIVES)
_SET_HERE = {"ise.objective": "--rows", "output_dir": "--out"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-c", "--config", help="YAML file for all rows, found by name; ise.objective is set here")
    source.add_argument("--dataset", choices=("market1501", "msmt17"), help="the paper's recipe for this data set")
    parser.add_argument("--rows", default=",".join(ROWS), help="rows of the table (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs per row (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: output/ablation_ and the name of the data")
    add_override(parser)


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds is {args.seeds}; it takes the number of runs per row, 1 or more")
    configs = {row: _config(args, row) for row in _rows(args.rows)}
    if any(cfg.deterministic for cfg in configs.values()):
        ask_for_determinism()
    from ppreid.app import ablate

    name = next(iter(configs.values())).data.name
    ablate(configs, args.out or Path("output") / f"ablation_{name}", seeds=args.seeds)


def _rows(text: str) -> list[str]:
    """Rows of "baseline,ise", each once."""
    rows = list(dict.fromkeys(text.split(",")))
    for row in rows:
        if row not in OBJECTIVES:
            raise ConfigError(unknown_choice("--rows", row, OBJECTIVES))
    return rows


def _config(args: argparse.Namespace, row: str) -> TrainingConfig:
    """The configuration of a row."""
    for override in args.overrides:
        key = override.partition("=")[0].strip()
        if key in _SET_HERE:
            raise ConfigError(f"-o {override}: this command sets {key} for every run; use {_SET_HERE[key]}")
    file = f"{row}_{args.dataset}.yaml" if args.dataset else args.config
    return for_training(load_config(file, [*args.overrides, f"ise.objective={row}"]), file)
