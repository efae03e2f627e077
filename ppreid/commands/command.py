"""What every command of the command line has."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import ConfigError
from ppreid.config.load import find_config, load_config
from ppreid.config.schema import Config, EvaluationConfig, TrainingConfig
from ppreid.run.log import logger


class Command(NamedTuple):
    """One command.

    Attributes:
        what: one line for the help.
        examples: three worked examples for the help.
        add_arguments: adds its arguments to a parser.
        run: does it, given the parsed arguments. Imports paddle only here, after the arguments were found good.
    """

    what: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def add_config_arguments(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Add -c and -o; -c is required where there is no default."""
    default_help = f"; default {default}" if default else ""
    parser.add_argument(
        "-c", "--config", required=default is None, default=default, help=f"YAML file, found by name{default_help}"
    )
    parser.add_argument(
        "-o", "--override", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="set one key"
    )


def read_config(args: argparse.Namespace) -> Config:
    """The configuration that -c and -o ask for; says which file it was."""
    file: Path = find_config(args.config)
    cfg = load_config(file, args.overrides)
    logger.info("configuration: %s", file)
    return cfg


def read_training_config(args: argparse.Namespace) -> TrainingConfig:
    """As `read_config`; a file for evaluation only is an error."""
    cfg = read_config(args)
    if isinstance(cfg, EvaluationConfig):
        raise ConfigError(f"{args.config} is for evaluation only (task: evaluate); it has no keys for this command")
    return cfg
