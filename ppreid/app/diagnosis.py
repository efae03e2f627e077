"""The story of the doctor: everything that a run will need, looked at before it starts."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import paddle

from ppreid import wiring
from ppreid.app.inputs import load_initial_weights, trained_network
from ppreid.base.errors import PpreidError
from ppreid.base.progress import progress
from ppreid.base.records import ReIDSplit
from ppreid.config.data import DataConfig
from ppreid.config.schema import Config, TrainingConfig
from ppreid.datasets.batch_reader import memory_under_way
from ppreid.datasets.summary import summarise_split
from ppreid.doctor.duplicates import check_duplicates, check_names, content_digests, equal_groups, equal_in_size
from ppreid.doctor.findings import Finding, format_findings, ok, problem, summary_line, warning
from ppreid.doctor.identities import check_cameras, check_queries, check_train_identities
from ppreid.doctor.images import check_images, image_facts, in_threads, survey_images
from ppreid.doctor.machine import (
    check_cores,
    check_device,
    check_disk,
    check_memory,
    check_packages,
    check_processor,
    usable_cores,
)
from ppreid.processes.device import LABEL_BYTES_PER_NEIGHBOUR, available_memory, use_device
from ppreid.run.checkpoint import checkpoint_bytes
from ppreid.training.precision import OFF, require_half_precision
from ppreid.weights.match import imagenet_cache

CHECKPOINT_FILES = 4  # last, previous, best, and the one that is being written

logger = logging.getLogger("ppreid")


class Diagnosis(NamedTuple):
    """Findings about the environment of a run and about its data set."""

    environment: list[Finding]
    data: list[Finding]


def diagnose(cfg: Config, *, environment: bool = True, data: bool = True) -> Diagnosis:
    """Check what a run with this configuration needs, and show what was found; nothing is changed or downloaded.

    Args:
        cfg: the configuration of the run.
        environment: check packages, machine and weights.
        data: check the data set, every image included.

    Returns:
        All findings.
    """
    diagnosis = Diagnosis([], [])
    if environment:
        _show(diagnosis.environment, "packages", check_packages)
        _show(diagnosis.environment, "machine", lambda: _check_machine(cfg))
        _show(diagnosis.environment, "weights", lambda: [_check_weights(cfg)])
    if data:
        diagnosis.data.extend(_check_data(cfg))
    logger.info("summary: %s", summary_line([*diagnosis.environment, *diagnosis.data]))
    return diagnosis


def _show(findings: list[Finding], title: str, check: Callable[[], list[Finding]]) -> None:
    """Run a check below its title, and keep and show what it found."""
    logger.info("%s", title)
    found = check()
    logger.info("%s", format_findings(found))
    findings += found


def _check_machine(cfg: Config) -> list[Finding]:
    gpus = range(paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0)
    properties = [paddle.device.cuda.get_device_properties(number) for number in gpus]
    images, checkpoints = cfg.eval.batch_size, 0  # of a batch
    if isinstance(cfg, TrainingConfig):
        images += cfg.batch.identities * cfg.batch.images  # the workers of training wait while others extract features
        every, keep = cfg.checkpoint.every, cfg.checkpoint.keep
        kept = min(cfg.solver.epochs // every, keep or cfg.solver.epochs) if every else 0
        checkpoints = (CHECKPOINT_FILES + kept) * checkpoint_bytes(wiring.reid_net(cfg.model))
    workers = cfg.data.num_workers
    return [
        check_processor(onednn=paddle.base.core.is_compiled_with_mkldnn()),
        check_cores(num_workers=workers, usable=usable_cores()),
        check_device(
            cfg.device,
            gpus=[f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB" for gpu in properties],
            built_for_gpu=paddle.device.is_compiled_with_cuda(),
            has_driver=shutil.which("nvidia-smi") is not None,
        ),
        check_memory(
            needed=memory_under_way(num_workers=workers, batch_bytes=images * _image_bytes(cfg.data)),
            available=available_memory(),
            purpose="batches that the loader's workers prepare",
            advice="lower data.num_workers or the batch",
        ),
        check_disk(Path(cfg.output_dir), needed=checkpoints),
        *_check_precision(cfg),
    ]


def _check_precision(cfg: Config) -> list[Finding]:
    """Whether the device can train in mixed precision, where that is asked for."""
    if not isinstance(cfg, TrainingConfig) or cfg.amp.level == OFF:
        return []
    try:
        use_device(cfg.device)
        require_half_precision(cfg.amp.level, cfg.amp.dtype)
    except PpreidError as error:
        return [problem("mixed precision", str(error), "see docs/reproducing.md about smaller GPUs")]
    return [ok("mixed precision", f"{cfg.amp.level} in {cfg.amp.dtype} can be used")]


def _image_bytes(cfg: DataConfig) -> int:
    """Of one image as the network sees it, (3, H, W) float32."""
    return 3 * cfg.height * cfg.width * 4


def _check_weights(cfg: Config) -> Finding:
    """Load the weights into the network that will use them; ImageNet weights only where they are already here."""
    advice = "see docs/weights.md for the files that are accepted"
    try:
        if isinstance(cfg, TrainingConfig):
            if cfg.model.weights == "imagenet" and not imagenet_cache(cfg.model.backbone).exists():
                text = f"the ImageNet weights of {cfg.model.backbone} are not here yet; the run will download them"
                put = f"without a network, put the file at {imagenet_cache(cfg.model.backbone)}"
                return warning("weights", text, put)
            load_initial_weights(wiring.reid_net(cfg.model), cfg.model)
        else:
            trained_network(cfg.model)
    except PpreidError as error:
        return problem("weights", str(error), advice)
    return ok("weights", f"model.weights {cfg.model.weights} can be used")


def _check_data(cfg: Config) -> list[Finding]:
    findings: list[Finding] = []
    logger.info("data set %s in %s", cfg.data.name, Path(cfg.data.root).absolute())
    try:
        split, _, notes = wiring.dataset(cfg.data)
    except PpreidError as error:
        findings.append(problem("data set", str(error), "see data/README.md for the folders that are expected"))
        logger.info("%s", format_findings(findings))
        return findings
    summary = summarise_split(split, wiring.published_counts(cfg.data))
    advice = "is the download complete, and is it the version that was published?"
    counts = [ok("data set", "\n".join([summary.table, *notes]))]
    counts += [warning("data set", text, advice) for text in summary.warnings]
    _show(findings, "size", lambda: [*counts, *_check_label_memory(cfg, len(split.train))])
    _show(
        findings,
        "identities and cameras",
        lambda: [
            *check_cameras(split),
            check_train_identities(split.train),
            *check_queries(split.query, split.gallery, ignore_camera=cfg.eval.ignore_camera),
        ],
    )
    _show(findings, "images", lambda: _check_files(split, cfg.data))
    return findings


def _check_label_memory(cfg: Config, num_images: int) -> list[Finding]:
    if not isinstance(cfg, TrainingConfig):
        return []
    purpose, advice = f"pseudo labels of {num_images:,} images", "lower labels.k1, or free memory"
    needed = LABEL_BYTES_PER_NEIGHBOUR * cfg.labels.k1 * num_images
    return [check_memory(needed=needed, available=available_memory(), purpose=purpose, advice=advice)]


def _check_files(split: ReIDSplit, cfg: DataConfig) -> list[Finding]:
    """Decode every file once, then hash those that might be copies."""
    paths = [record.path for part in split for record in part]
    facts = in_threads(image_facts, paths, num_workers=cfg.num_workers)
    survey = survey_images(paths, progress(facts, total=len(paths), description="decode", unit="image"))
    rows = equal_in_size(survey.num_bytes)
    digests = content_digests((paths[row] for row in rows), num_workers=cfg.num_workers)
    groups = equal_groups(rows, progress(digests, total=len(rows), description="compare", unit="image"))
    return [
        *check_images(survey, bad_are_skipped=cfg.on_bad_image == "skip"),
        *check_duplicates(split, groups),
        check_names(split),
    ]
