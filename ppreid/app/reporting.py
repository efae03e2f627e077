"""The story of a report: read the folder of a run, look at its network and its images, write one page."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ppreid import tables, wiring
from ppreid.app.inputs import read_split, trained_network
from ppreid.base.errors import ConfigError, DataError, EvaluationError, PpreidError, PpreidWarning
from ppreid.base.records import ReIDSplit, ids
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig
from ppreid.disk.files import write_text
from ppreid.evaluation.inputs import Identities
from ppreid.models.reid_net import ReIDNet
from ppreid.processes.device import use_device
from ppreid.report.evidence import Evidence, MapEvidence, RankingEvidence, cluster_evidence, ranking_evidence
from ppreid.report.page import comparison_page, run_page
from ppreid.report.run_files import RunFiles, read_run, same_images
from ppreid.run.folder import BEST, CONFIG, LAST, REPORT
from ppreid.run.lock import process_at_work

CHECKPOINTS = {"last": LAST, "best": BEST}

logger = logging.getLogger("ppreid")


def report(
    folders: Sequence[Path],
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    checkpoint: str = "last",
    images: bool = True,
) -> Path:
    """Make the page of one run, also of one that is still going on, or compare several.

    Args:
        folders: output_dir of every run; of several, only the numbers and configurations are compared.
        out: file to write; None is report.html in the folder of the one run.
        overrides: "key=value" for the configuration of the one run, e.g. where its data set is now.
        checkpoint: "last" or "best": the network that is looked at.
        images: look at network and data set; otherwise only at what the folder says.

    Returns:
        The file that was written.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    runs = [read_run(folder, is_running=bool(process_at_work(folder))) for folder in folders]
    if len(runs) > 1:
        if out is None:
            raise ConfigError(f"a comparison of {len(runs)} runs belongs to no folder; say where to write it (--out)")
        return _written(out, comparison_page(list(zip(_distinct_names(folders), runs, strict=True))))
    evidence = _evidence_from_disk(folders[0], runs[0], overrides, checkpoint) if images else _without_images(runs[0])
    return _written(out or folders[0] / REPORT, run_page(runs[0], evidence, reference=_reference()))


def report_of_training(folder: Path, cfg: TrainingConfig, split: ReIDSplit, model: ReIDNet) -> None:
    """Make the page of a run that has just finished, with what it has in memory; a failure costs nothing but the page.

    Args:
        folder: of the run.
        cfg: its configuration.
        split: its data set.
        model: its last network.
    """
    try:
        run = read_run(folder, is_running=False)
        evidence = _evidence(cfg, split, model, run, network="the last network of the run")
        path = _written(folder / REPORT, run_page(run, evidence, reference=_reference()))
        logger.info("report: %s", path)
    except Exception as error:  # noqa: BLE001 - hours of training are done and saved; they must not end in an error
        again = f"python tools/report.py {folder}"
        logger.error("the run is complete, but its report could not be made: %s; make it again: %s", error, again)


def _evidence_from_disk(folder: Path, run: RunFiles, overrides: Sequence[str], checkpoint: str) -> Evidence:
    """Evidence from a checkpoint and the data set; where they are not there, the report is made without and says so."""
    try:
        cfg = load_config(folder / CONFIG, overrides)
        if not isinstance(cfg, TrainingConfig):
            raise DataError(f"{folder / CONFIG} is not the configuration of a training run")
        logger.info("device: %s", use_device(cfg.device))
        split = read_split(cfg.data, skipped_list=None)
        weights = {"weights": str(folder / CHECKPOINTS[checkpoint]), "weights_sha256": ""}
        model, _ = trained_network(cfg.model.model_copy(update=weights))
        return _evidence(cfg, split, model, run, network=f"the {checkpoint} network of the run")
    except PpreidError as error:
        if overrides and isinstance(error, ConfigError):
            raise
        text = f"Rank lists, images and the map are missing: {error}"
        warnings.warn(text, PpreidWarning, stacklevel=3)
        return _without_images(run)._replace(notes=[text])


def _without_images(run: RunFiles) -> Evidence:
    """What the labels of a run show on their own."""
    return Evidence(clusters=cluster_evidence(run.labels.labels, None, per_kind=1, seed=0) if run.labels else None)


def _evidence(cfg: TrainingConfig, split: ReIDSplit, model: ReIDNet, run: RunFiles, *, network: str) -> Evidence:
    """Look at rankings, clusters and features."""
    notes: list[str] = []
    labels = run.labels.labels if run.labels else None
    train = split.train
    if run.labels and not same_images(run.labels.names, [record.path for record in train]):
        notes.append("Images of clusters and the map are missing: the training images are not those of labels.csv.")
        train = ()
    clusters = None
    if labels is not None:
        clusters = cluster_evidence(labels, train or None, per_kind=cfg.report.clusters, seed=cfg.seed)
    ranking = None
    if split.query and split.gallery:
        try:
            ranking = _ranking(cfg, split, model)
        except EvaluationError as error:
            notes.append(f"There is no ranking: {error}")
    feature_map = _feature_map(cfg, split, model, labels) if train else None
    return Evidence(ranking, clusters, feature_map, notes, network)


def _ranking(cfg: TrainingConfig, split: ReIDSplit, model: ReIDNet) -> RankingEvidence:
    """Rank the whole gallery for every query."""
    loader = wiring.feature_loader(split.query + split.gallery, cfg.data, cfg.eval)
    features = wiring.extractor(cfg.eval)(model, loader, description="report: ranking")
    query_pids, query_camids = ids(split.query)
    gallery_pids, gallery_camids = ids(split.gallery)
    identities = Identities(query_pids, gallery_pids, query_camids, gallery_camids)
    count = len(split.query)
    return ranking_evidence(
        features,
        split.query,
        split.gallery,
        identities,
        wiring.ranking(cfg.eval)(features[:count], features[count:], *identities),
        per_kind=cfg.report.queries,
        ignore_camera=cfg.eval.ignore_camera,
        seed=cfg.seed,
    )


def _feature_map(cfg: TrainingConfig, split: ReIDSplit, model: ReIDNet, labels: np.ndarray | None) -> MapEvidence:
    """Project features of random training images."""
    rng = np.random.default_rng(cfg.seed)
    rows = np.sort(rng.permutation(len(split.train))[: cfg.report.map_images])
    loader = wiring.feature_loader([split.train[row] for row in rows], cfg.data, cfg.eval)
    features = wiring.extractor(cfg.eval)(model, loader, description="report: map")
    project = tables.resolve(tables.PROJECTIONS[cfg.report.projection].function)
    return MapEvidence(
        split.train,
        rows,
        project(features, seed=cfg.seed),
        None if labels is None else labels[rows],
        cfg.report.projection,
    )


def _reference() -> dict:
    """What every configuration is shown against."""
    return load_config("base.yaml").model_dump()


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """Folder names; whole paths where two folders have the same name."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _written(path: Path, html: str) -> Path:
    try:
        write_text(path, html)
    except OSError as error:
        raise ConfigError(f"the report cannot be written to {path}: {error}") from error
    return path
