"""What several verbs have: the folder of a run, -c and -o, and the configuration that these mean."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ppreid.base.errors import ConfigError, WeightsError
from ppreid.base.reading import is_there
from ppreid.config.load import find_config, load_config
from ppreid.config.schema import Config, EvaluationConfig, TrainingConfig
from ppreid.run.log import logger
from ppreid.tables import CHOICES, PLUGINS

BEST_NETWORK, LAST_NETWORK = "best", "last"  # of a run, as options name them


def add_override(parser: argparse.ArgumentParser, *, what: str = "set one key") -> None:
    """Add -o and --plugin, which may be given several times.

    Args:
        parser: of the verb or of one of its actions.
        what: for the help, where not every key of a configuration can be set.
    """
    parser.add_argument(
        "-o", "--override", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=what
    )
    text = "a .py file, or an installed plugin, with rows for the tables of choices (docs/extending.md)"
    parser.add_argument("--plugin", dest="plugins", action="append", default=[], metavar="FILE|NAME", help=text)


def load_plugins(sources: Sequence[str]) -> None:
    """Run plugins, whose rows are then choices like those of ppreid; each is run once.

    Args:
        sources: paths of .py files, or names of plugins that are installed.

    Raises:
        PluginError: one cannot be found, read or run, or its rows are wrong.
    """
    from ppreid.base.plugins import load_plugin

    for source in sources:
        load_plugin(source, CHOICES, PLUGINS)


def add_config_arguments(
    parser: argparse.ArgumentParser, *, default: str | None = None, required: bool | None = None
) -> None:
    """Add -c and -o; unless `required` says so, -c is required where there is no default."""
    _add_config(parser, default=default).required = default is None if required is None else required
    add_override(parser)


def _add_config(parser: argparse.ArgumentParser, *, default: str | None) -> argparse.Action:
    default_help = f"; default {default}" if default else ""
    return parser.add_argument("-c", "--config", default=default, help=f"YAML file, found by name{default_help}")


def add_run_arguments(parser: argparse.ArgumentParser, *, default: str | None = None, networks: bool = True) -> None:
    """Add the folder of a run, which network of it, -c and -o: what `read_config` takes for a trained network.

    Args:
        parser: of the verb or of one of its actions.
        default: configuration where neither a run nor -c is given; None demands one of them.
        networks: whether one of its networks is wanted; otherwise the run is meant as it was configured.
    """
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder of a training run, instead of -c and its weights")
    _add_config(parser, default=default)
    add_override(parser)
    parser.set_defaults(config=None, default_config=default)
    if not networks:
        return
    which = parser.add_mutually_exclusive_group()
    for name, what in (
        (BEST_NETWORK, "of the best evaluation; the default where there is one"),
        (LAST_NETWORK, "last"),
    ):
        which.add_argument(
            f"--{name}", dest="network", action="store_const", const=name, help=f"the network of RUN: {what}"
        )


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --overwrite.

    Args:
        parser: of the verb or of one of its actions.
        what: may be replaced, for the help; an earlier output of the same kind may be in any case, an input never.
    """
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def add_shards(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --shard and --merge, of which one may be given, and --ray; `parse_shard` reads the first.

    Args:
        parser: of the verb.
        what: is divided, for the help.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--shard", metavar="I/N", help=f"a part of {what}, e.g. 3/16, on any machine (docs/scaling.md)")
    which.add_argument("--merge", type=int, metavar="N", help="put N shards together, when all are done")
    parser.add_argument("--ray", metavar="ADDRESS", help="make those of --merge with Ray first: local, auto, HOST:PORT")


def read_config(args: argparse.Namespace) -> Config:
    """The configuration that the arguments ask for; says which file it was.

    Raises:
        ConfigError: there is none, or the run and -c are two; or what `load_config` and `run_config` raise.
    """
    run = getattr(args, "run", None)
    source = run or args.config or getattr(args, "default_config", None)
    alone = [text for text in args.overrides if "=" not in text]
    if run and alone and not os.path.exists(run):
        raise ConfigError(f"-o takes KEY=VALUE: -o {alone[0]}={run}")
    if run and args.config:
        raise ConfigError(f"{run} and -c {args.config} are two configurations; give the folder of a run or -c")
    if not source:
        raise ConfigError("which network? give the folder of a run (output/demo), or a configuration (-c FILE)")
    if run and os.path.isdir(run):
        has_networks = hasattr(args, "network")  # otherwise the run is meant as it was configured
        return (
            run_config(Path(run), args.overrides, network=args.network)
            if has_networks
            else run_settings(Path(run), args.overrides)
        )
    if getattr(args, "network", None):
        raise ConfigError(f"--{args.network} chooses among the networks of a run; give its folder, not a configuration")
    file: Path = find_config(source)
    cfg = load_config(file, args.overrides)
    logger.info("configuration: %s", file)
    return cfg


def run_config(folder: Path, overrides: Sequence[str] = (), *, network: str | None = None) -> Config:
    """The configuration of a run, with the network that it trained as weights and its folder as output_dir.

    Args:
        folder: output_dir of a training, wherever it is now.
        overrides: "a.b=value"; they win over everything else.
        network: "best", of the best evaluation, or "last"; None is the best where there is one, otherwise the last.

    Raises:
        ConfigError: the folder holds no run, or an override is wrong.
        DataError: its configuration is damaged.
        WeightsError: it has no such network.
    """
    from ppreid.run.folder import BEST, LAST  # imports paddle

    cfg = run_settings(folder, overrides)
    named = {override.partition("=")[0].strip() for override in overrides}
    weights = {"weights": cfg.model.weights, "weights_sha256": cfg.model.weights_sha256}
    if "model.weights" not in named:
        files = {BEST_NETWORK: BEST, LAST_NETWORK: LAST}
        wanted = [files[network]] if network else list(files.values())
        found = [folder / name for name in wanted if is_there(folder / name, WeightsError)]
        if not found:
            here = [name for name in files.values() if (folder / name).exists()]
            hint = f"it has {', '.join(here)}" if here else "has the training written a checkpoint yet?"
            raise WeightsError(f"{folder} has no {' and no '.join(wanted)}; {hint}")
        weights["weights"] = str(found[0])
    if "model.weights_sha256" not in named:
        weights["weights_sha256"] = ""  # the configuration pins what the training began with
    logger.info("run: %s, network: %s", folder, weights["weights"])
    return cfg.model_copy(update={"model": cfg.model.model_copy(update=weights)})


def run_settings(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a run as it was trained, with its folder as output_dir.

    Args:
        folder: output_dir of a training, wherever it is now.
        overrides: "a.b=value"; they win over both.

    Raises:
        ConfigError: the folder holds no run, or an override is wrong.
        DataError: its configuration is damaged.
    """
    from ppreid.run.folder import CONFIG  # imports paddle

    if not is_there(folder / CONFIG, ConfigError):
        raise ConfigError(f"{folder} holds no run: it has no {CONFIG}; give the output_dir of a training, or -c FILE")
    cfg = load_config(folder / CONFIG, overrides, alone=True)
    is_elsewhere = any(override.partition("=")[0].strip() == "output_dir" for override in overrides)
    own = {} if is_elsewhere else {"output_dir": str(folder)}
    return cfg.model_copy(update={**own, "plugins": {name: plugin.sha256 for name, plugin in PLUGINS.items()}})


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
    source = getattr(args, "run", None) or args.config
    cfg = for_training(read_config(args), source)
    if source and not os.path.isdir(source):
        from ppreid.verbs.other_data_set import warn_of_other_data_set

        warn_of_other_data_set(cfg, source, args.overrides)
    return cfg
