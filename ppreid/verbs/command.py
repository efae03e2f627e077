"""What several verbs have: -c and -o, and the configuration that these mean."""

import argparse
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from ppreid.base.errors import ConfigError
from ppreid.config.load import find_config, load_config
from ppreid.config.schema import Config, EvaluationConfig, TrainingConfig
from ppreid.run.log import logger


def add_override(parser: argparse.ArgumentParser, *, what: str = "set one key") -> None:
    """Add -o, which may be given several times.

    Args:
        parser: of the verb or of one of its actions.
        what: for the help, where not every key of a configuration can be set.
    """
    parser.add_argument(
        "-o", "--override", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=what
    )


def add_config_arguments(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Add -c and -o; -c is required where there is no default."""
    default_help = f"; default {default}" if default else ""
    parser.add_argument(
        "-c", "--config", required=default is None, default=default, help=f"YAML file, found by name{default_help}"
    )
    add_override(parser)


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --overwrite.

    Args:
        parser: of the verb or of one of its actions.
        what: may be replaced, for the help; an earlier output of the same kind may be in any case, an input never.
    """
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def read_config(args: argparse.Namespace) -> Config:
    """The configuration that -c and -o ask for; says which file it was."""
    file: Path = find_config(args.config)
    cfg = load_config(file, args.overrides)
    logger.info("configuration: %s", file)
    return cfg


def for_training(cfg: Config, source: str) -> TrainingConfig:
    """The same configuration, where it is one of training.

    Args:
        cfg: as it was read.
        source: name of its file, for the message.

    Raises:
        ConfigError: it is for evaluation only.
    """
    if isinstance(cfg, EvaluationConfig):
        raise ConfigError(f"{source} is for evaluation only (task: evaluate); it has no keys for this command")
    return cfg


def read_training_config(args: argparse.Namespace) -> TrainingConfig:
    """As `read_config`; a file for evaluation only is an error."""
    return for_training(read_config(args), args.config)


def explain_unknown(unknown: Sequence[str], args: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """What to write instead of an argument that a command does not take.

    Args:
        unknown: the arguments that it does not take.
        args: what the others mean.
        parser: of the command, whose name stands in the message.
    """
    word, _, value = unknown[0].partition("=")
    value = value or next((text for text in unknown[1:2] if not text.startswith("-")), "VALUE")
    refused = f"{parser.prog} does not take {unknown[0]!r}"
    keys: list[str] = []
    if hasattr(args, "overrides"):
        alone = [text for text in args.overrides if "=" not in text]
        if alone and not word.startswith("-"):
            return f"{refused}; -o takes KEY=VALUE: -o {alone[0]}={word}"
        keys = _keys_named(word.lstrip("-").replace("-", "_"))
    if keys:
        return f"{refused}; it is a key of the configuration: {' or '.join(f'-o {key}={value}' for key in keys)}"
    nearest = get_close_matches(word, sorted(_options(parser)), n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{refused}; {hint}{parser.prog} --help lists all"


def _keys_named(name: str) -> list[str]:
    """Keys of the configuration with this name, or whose last part it is."""
    from ppreid.verbs.config_reference import config_keys

    return [key.name for key in config_keys() if name in (key.name, key.name.rpartition(".")[2])]


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Options of a parser and of its actions."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _options(each)
