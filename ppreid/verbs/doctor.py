"""ppreid doctor, tools/doctor.py: everything that a run will need, looked at before it starts."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from ppreid.base.errors import DataError, PpreidError
from ppreid.config.load import find_config
from ppreid.config.schema import Config, TrainingConfig
from ppreid.disk.outputs import FINDINGS_JSON, Output, check_outputs
from ppreid.doctor.findings import (
    Finding,
    format_findings,
    has_problem,
    ok,
    problem,
    shown,
    summary_line,
    warning,
    write_findings,
)
from ppreid.doctor.machine import (
    check_cores,
    check_device,
    check_disk,
    check_memory,
    check_packages,
    check_processor,
    usable_cores,
)
from ppreid.run.log import leave_standard_output_to, log_result
from ppreid.verbs.command import add_overwrite, add_run_arguments, read_config

EXAMPLES = """\
  python tools/doctor.py -c ise_market1501.yaml
  python tools/doctor.py output/demo
  python tools/doctor.py -c ise_msmt17.yaml -o data.root=/datasets --data-only --json findings.json
  python tools/doctor.py --environment-only

Exit codes: 0 no problem (there may be warnings); 3 a problem with the data set; 1 problems with the environment only.
"""
CHECKPOINT_FILES = 4  # last, previous, best, and the one that is being written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_run_arguments(parser, default="base.yaml", networks=False)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--data-only", action="store_true", help="check the data set and nothing else")
    group.add_argument("--environment-only", action="store_true", help="check everything but the data set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings, with all files concerned")
    add_overwrite(parser, "a file in the place of the findings, whatever it is")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_config(args)
    if args.json:
        output = Output("--json", args.json, FINDINGS_JSON)
        check_outputs([output], overwrite=args.overwrite, inputs=_inputs(args))
        leave_standard_output_to(args.json)
    packages = check_packages()
    if has_problem(packages):  # the import below needs all of them
        log_result(f"packages\n{format_findings(packages)}")
        write_findings(args.json, packages, [])
        raise PpreidError("packages are missing or broken; nothing else was checked")
    environment, data = diagnose(cfg, environment=not args.data_only, data=not args.environment_only)
    write_findings(args.json, environment, data)
    if has_problem(data):
        raise DataError("the data set has problems, see above")
    if has_problem(environment):
        raise PpreidError("the environment has problems, see above")


def _inputs(args: argparse.Namespace) -> list[Path]:
    """The configuration that was read."""
    source = Path(args.run or args.config or args.default_config)
    return [source / "config.yaml" if source.is_dir() else find_config(source)]


def diagnose(cfg: Config, *, environment: bool = True, data: bool = True) -> tuple[list[Finding], list[Finding]]:
    """Check what a run with this configuration needs, and show what was found; nothing is changed or downloaded.

    Args:
        cfg: the configuration of the run.
        environment: check packages, machine and weights.
        data: check the data set, every image included.

    Returns:
        Findings about the environment and about the data set.
    """
    about_environment, about_data = list[Finding](), list[Finding]()
    if environment:
        about_environment += shown("packages", check_packages)
        about_environment += shown("machine", lambda: _check_machine(cfg))
        about_environment += shown("weights", lambda: [_check_weights(cfg)])
        about_environment += shown("run time", lambda: _estimate(cfg))
    if data:
        about_data += _check_data(cfg)
    log_result(f"summary: {summary_line([*about_environment, *about_data])}")
    return about_environment, about_data


def _check_machine(cfg: Config) -> list[Finding]:
    """Processor, device, memory and disk, and what the run needs of them."""
    import paddle

    from ppreid import wiring
    from ppreid.datasets.batch_reader import memory_under_way
    from ppreid.doctor.gpu_build import check_this_build, seen_gpus
    from ppreid.processes.device import available_memory
    from ppreid.run.checkpoint import checkpoint_bytes

    properties = seen_gpus()
    images, checkpoints = cfg.eval.batch_size, 0  # of a batch
    if isinstance(cfg, TrainingConfig):
        images += cfg.batch.identities * cfg.batch.images  # the workers of training wait while others extract features
        every, keep = cfg.checkpoint.every, cfg.checkpoint.keep
        kept = min(cfg.solver.epochs // every, keep or cfg.solver.epochs) if every else 0
        checkpoints = (CHECKPOINT_FILES + kept) * checkpoint_bytes(wiring.reid_net(cfg.model, image_size=cfg.data.size))
    workers, image_bytes = cfg.data.num_workers, 3 * cfg.data.height * cfg.data.width * 4  # (3, H, W) float32
    return [
        check_processor(onednn=paddle.base.core.is_compiled_with_mkldnn()),
        check_cores(num_workers=workers, usable=usable_cores()),
        check_device(
            cfg.device,
            gpus=[f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB" for gpu in properties],
            built_for_gpu=paddle.device.is_compiled_with_cuda(),
            has_driver=shutil.which("nvidia-smi") is not None,
        ),
        *check_this_build(properties),
        check_memory(
            needed=memory_under_way(num_workers=workers, batch_bytes=images * image_bytes),
            available=available_memory(),
            purpose="batches that the loader's workers prepare",
            advice="lower data.num_workers or the batch",
        ),
        check_disk(Path(cfg.output_dir), needed=checkpoints),
        *_check_precision(cfg),
    ]


def _check_precision(cfg: Config) -> list[Finding]:
    """Whether the device can train in mixed precision, where that is asked for."""
    from ppreid.processes.device import use_device
    from ppreid.training.optimizer import OFF, require_half_precision

    if not isinstance(cfg, TrainingConfig) or cfg.amp.level == OFF:
        return []
    try:
        use_device(cfg.device)
        require_half_precision(cfg.amp.level, cfg.amp.dtype)
    except PpreidError as error:
        return [problem("mixed precision", str(error), "see docs/reproducing.md about smaller GPUs")]
    return [ok("mixed precision", f"{cfg.amp.level} in {cfg.amp.dtype} can be used")]


def _estimate(cfg: Config) -> list[Finding]:
    """How long the network will be at work on the configured device; nothing where that is not there."""
    from ppreid import wiring
    from ppreid.doctor.run_time import estimate_run_time
    from ppreid.processes.device import use_device
    from ppreid.training.optimizer import autocast

    try:
        use_device(cfg.device)
    except PpreidError:
        return []  # the check of the device says it
    chunks, training = 1, dict[str, Any]()
    if isinstance(cfg, TrainingConfig):
        chunks = cfg.model.bn_chunks
        training = {
            "step_images": cfg.batch.identities * cfg.batch.images,
            "bn_chunks": chunks,
            "steps": cfg.solver.epochs * cfg.solver.iters,
            "epochs": cfg.solver.epochs,
            "autocast": autocast(cfg.amp.level, cfg.amp.dtype),
        }
    model = wiring.reid_net(cfg.model, image_size=cfg.data.size, bn_chunks=chunks)
    image_shape = (3, *cfg.data.size)
    return [estimate_run_time(model, image_shape=image_shape, batch=cfg.eval.batch_size, **training)]


def _check_weights(cfg: Config) -> Finding:
    """Load the weights into the network that will use them; ImageNet weights only where they are already here."""
    from ppreid import wiring
    from ppreid.verbs.inputs import load_initial_weights
    from ppreid.verbs.network import trained_network
    from ppreid.weights.match import imagenet_cache

    advice = "see docs/weights.md for the files that are accepted"
    try:
        if isinstance(cfg, TrainingConfig):
            if cfg.model.weights == "imagenet" and not imagenet_cache(cfg.model.backbone).exists():
                text = f"the ImageNet weights of {cfg.model.backbone} are not here yet; the run will download them"
                put = f"without a network, put the file at {imagenet_cache(cfg.model.backbone)}"
                return warning("weights", text, put)
            load_initial_weights(wiring.reid_net(cfg.model, image_size=cfg.data.size), cfg.model)
        else:
            trained_network(cfg.model, cfg.data)
    except PpreidError as error:
        return problem("weights", str(error), advice)
    return ok("weights", f"model.weights {cfg.model.weights} can be used")


def _check_data(cfg: Config) -> list[Finding]:
    from ppreid import wiring
    from ppreid.doctor.data_set import check_data_set

    log_result(f"data set {cfg.data.name} in {Path(cfg.data.root).absolute()}")
    return check_data_set(
        lambda: wiring.dataset(cfg.data),
        published=wiring.published_counts(cfg.data),
        neighbours=cfg.labels.k1 if isinstance(cfg, TrainingConfig) else None,
        num_workers=cfg.data.num_workers,
        bad_are_skipped=cfg.data.on_bad_image == "skip",
        ignore_camera=cfg.eval.ignore_camera,
    )
