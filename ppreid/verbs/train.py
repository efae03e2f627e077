"""ppreid train, tools/train.py: open the folder, read, build, and let the loop of training/loop.py run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppreid.base.environment import ask_for_determinism
from ppreid.base.errors import ConfigError
from ppreid.config.load import config_text
from ppreid.config.schema import TrainingConfig, scaled_to_devices
from ppreid.run.log import logger
from ppreid.verbs.command import add_config_arguments, for_training, read_training_config, run_settings

if TYPE_CHECKING:
    import paddle

    from ppreid.base.records import ReIDSplit
    from ppreid.contracts import Twin
    from ppreid.models.reid_net import ReIDNet
    from ppreid.processes.ranks import Ranks
    from ppreid.run.checkpoint import Checkpoint
    from ppreid.run.keeper import Keeper
    from ppreid.run.opening import OpenRun
    from ppreid.training.finite import FiniteGuard
    from ppreid.wiring.rankings import Colours

EXAMPLES = """\
  python tools/train.py -c demo.yaml
  python tools/train.py -c ise_market1501.yaml -o data.root=/datasets -o output_dir=output/first
  python tools/train.py --resume output/first
  python tools/train.py -c ise_market1501.yaml --resume
  python tools/train.py -c ise_market1501.yaml -o output_dir=output/second --resume output/first

The files under configs/ are found by name. Every key can be set with -o; a wrong key lists the right ones.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser, required=False)
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default="",
        metavar="auto|DIR|FILE",
        help="go on from the last checkpoint in output_dir (auto, or nothing behind --resume), in DIR, or from FILE; "
        "without -c the configuration there goes on as well",
    )
    group.add_argument("--overwrite", action="store_true", help="replace an earlier run in output_dir")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_training_config(args) if args.config or getattr(args, "run", None) else _resumed_config(args)
    if cfg.deterministic:
        ask_for_determinism()
    train(cfg, overwrite=args.overwrite, resume=args.resume)


def _resumed_config(args: argparse.Namespace) -> TrainingConfig:
    """What a run that goes on was configured as."""
    if args.resume in ("", "auto"):
        raise ConfigError(
            "train needs -c FILE; to go on with a run as it was configured, give its folder (--resume DIR)"
        )
    path = Path(args.resume)
    folder = path if path.is_dir() else path.parent
    return for_training(run_settings(folder, args.overrides), str(folder))


def train(cfg: TrainingConfig, *, overwrite: bool = False, resume: str = "") -> list[dict[str, Any]]:
    """Train a network on images whose identities are unknown, and evaluate it now and then.

    SIGINT and SIGTERM save what was done and stop the run (docs/reliability.md).

    Args:
        cfg: everything there is to choose.
        overwrite: replace an earlier run in output_dir.
        resume: "" starts a run. "auto" goes on with the run in output_dir where its last checkpoint is, and starts it
            if there is none yet; a folder or a checkpoint file goes on from there. On one machine's CPU the result is
            that of an uninterrupted run, bit for bit.

    Returns:
        One row per evaluation with the keys of metrics.jsonl; the first (epoch 0) is from before training. None
        without labelled query and gallery images.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
        Interrupted: a signal came; what was done is saved.

    Reference:
        Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, section 3.
    """
    import paddle

    from ppreid import wiring
    from ppreid.processes.device import use_device
    from ppreid.run.checkpoint import image_facts, images_digest
    from ppreid.run.folder import BAD_IMAGES, CAMERAS
    from ppreid.run.metrics import require_viewers
    from ppreid.run.opening import open_run, read_beginning, write_facts
    from ppreid.training import loop
    from ppreid.verbs.inputs import own_tables, read_split

    require_viewers(cfg.log.viewers)
    folder, device = Path(cfg.output_dir), use_device(cfg.device)
    inputs = [*own_tables(cfg.data), Path(cfg.model.weights)]
    with open_run(folder, overwrite=overwrite, resume=resume, inputs=inputs) as opened:
        ranks = opened.ranks
        logger.info("device: %s%s, output: %s", device, f", {ranks.count} processes" * (ranks.count > 1), folder)
        _require_of_device(cfg, device)
        cfg, batch = scaled_to_devices(cfg, devices=ranks.count)
        logger.info("%s", batch)
        with opened.stop.interruptible():
            split = read_split(cfg.data, skipped_list=folder / BAD_IMAGES, camera_list=folder / CAMERAS)
            wiring.require_cameras(cfg, split.train)
            images = images_digest(split.train)
            if ranks.is_first:  # one process writes checkpoints, and the others need not read all files
                images = image_facts(split, num_workers=cfg.data.num_workers)
            config, defaults = cfg.model_dump(), TrainingConfig().model_dump()
            checkpoint = read_beginning(opened, resume, config=config, defaults=defaults, images=images)
        write_facts(opened, config_text(cfg), split.train, checkpoint)
        paddle.seed(cfg.seed)
        model, optimizer, twin = _network(cfg, ranks, is_new=checkpoint is None)
        with opened.stop.interruptible():
            maps = wiring.frozen_maps(cfg, model, split.train, checkpoint, ranks)
        colours = wiring.colours(cfg, split)
        with closing(wiring.train_loader(split.train, cfg, ranks, maps)) as loader:
            progress = loop.train(
                model,
                optimizer,
                split,
                loader,
                extract=wiring.extraction(cfg, split.train, twin, ranks, maps),
                evaluate=wiring.evaluation(cfg, split, colours, ranks),
                method=wiring.method(cfg, split, ranks, auxiliary=model.auxiliary, twin=twin),
                keeper=_keeper(cfg, split, images, model, optimizer, opened, checkpoint, colours, twin),
            )
            if cfg.report.enabled and ranks.is_first:
                from ppreid.verbs.report import report_of_training  # loaded by nobody who makes none

                with opened.stop.interruptible():
                    report_of_training(folder, cfg, split, wiring.from_images(cfg, model))
    return [dict(row) for row in progress.history]


def _network(
    cfg: TrainingConfig, ranks: Ranks, *, is_new: bool
) -> tuple[ReIDNet, paddle.optimizer.Optimizer, Twin | None]:
    """Network, optimizer, and the twin that follows the network, if one does; with weights where the run is new."""
    from ppreid import wiring
    from ppreid.verbs.inputs import load_initial_weights

    model = wiring.training_net(cfg, ranks)
    if is_new and ranks.is_first:
        load_initial_weights(model, cfg.model)
    return model, wiring.optimizer(cfg.solver, model), wiring.ema_twin(cfg, model)


def _require_of_device(cfg: TrainingConfig, device: str) -> None:
    """Refuse what this device, such as "gpu:0", would silently not do."""
    from ppreid.processes.device import require_determinism
    from ppreid.training.optimizer import require_half_precision

    require_half_precision(cfg.amp.level, cfg.amp.dtype)
    if cfg.deterministic:
        require_determinism(device)


def _keeper(
    cfg: TrainingConfig,
    split: ReIDSplit,
    images: Mapping[str, Any],
    model: ReIDNet,
    optimizer: paddle.optimizer.Optimizer,
    opened: OpenRun,
    checkpoint: Checkpoint | None,
    colours: Colours,
    twin: Twin | None,
) -> Keeper[FiniteGuard]:
    """What keeps the run alive."""
    from ppreid import wiring
    from ppreid.run.checkpoint_set import CheckpointSet
    from ppreid.run.folder import METRICS
    from ppreid.run.keeper import Keeper
    from ppreid.run.metrics import MetricsFile

    folder, kept = opened.folder, cfg.checkpoint
    return Keeper(
        opened,
        split.train,
        schedule=wiring.schedule(cfg, can_evaluate=bool(split.query)),
        checkpoints=CheckpointSet(
            folder,
            model,
            optimizer,
            every=kept.every,
            keep=kept.keep,
            every_steps=kept.every_steps,
            beginning=checkpoint,
            fallback=Path(kept.fallback_dir).expanduser() if kept.fallback_dir else None,
            config=cfg.model_dump(),
            images=images,
            twin=twin and twin.network,
        ),
        metrics=MetricsFile(folder / METRICS, viewers=cfg.log.viewers),
        guard=wiring.finite_guard(cfg, split.train),
        by_colour=wiring.colour_alone(cfg.eval, split, colours),
        twin=twin,
    )
