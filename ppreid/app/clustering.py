"""The story of clustering on its own: features, distances, labels; or one table for many values of eps."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from ppreid import tables, wiring
from ppreid.app.inputs import read_split, trained_network
from ppreid.base.errors import ConfigError
from ppreid.base.progress import Stopwatch
from ppreid.base.records import ids
from ppreid.clustering.labels import require_clusters
from ppreid.clustering.quality import PseudoLabelQuality, clustering_statistics, pseudo_label_quality, sweep_eps
from ppreid.config.schema import TrainingConfig
from ppreid.disk.features import Features, read_features
from ppreid.processes.device import available_memory, use_device, warn_if_labels_do_not_fit
from ppreid.run.folder import BAD_IMAGES, LABELS, write_labels
from ppreid.run.rows import sweep_table
from ppreid.training.pseudo_labels import assign_pseudo_labels

logger = logging.getLogger("ppreid")


def cluster(
    cfg: TrainingConfig,
    *,
    features_file: Path | None = None,
    output: Path | None = None,
    sweep: Sequence[float] | None = None,
) -> np.ndarray | None:
    """Cluster features once, as an epoch of training would, or show what every eps would do.

    Args:
        cfg: the labels section says how; without a features file, data and model.weights say of what.
        features_file: features (N, D), see `read_features`; None extracts those of the training images.
        output: CSV of path and cluster; None is output_dir/labels.csv.
        sweep: values of eps: prints one line for each and writes nothing.

    Returns:
        (N,) labels, -1 for outliers; None for a sweep.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    folder = Path(cfg.output_dir)
    data = read_features(features_file) if features_file else _extract(cfg, folder)
    logger.info("%d features of %d dimensions", *data.features.shape)
    warn_if_labels_do_not_fit(len(data.features), neighbours=cfg.labels.k1, available=available_memory())
    pids = data.pids if (data.pids >= 0).any() else None
    if sweep:
        _print_sweep(data, cfg, sweep, pids)
        return None
    watch = Stopwatch()
    distance, clusterer = wiring.distance(cfg.labels, epoch=1), wiring.clusterer(cfg.labels)
    labels, _ = assign_pseudo_labels(
        data.features, data.camids, distance=distance, clusterer=clusterer, stopwatch=watch
    )
    require_clusters(labels, eps=cfg.labels.eps, min_samples=cfg.labels.min_samples)
    clusters, outliers, largest = clustering_statistics(labels)
    logger.info("%d clusters, %d outliers, largest %d", clusters, outliers, largest)
    if pids is not None:
        logger.info("%s", _quality_line(pseudo_label_quality(labels, pids)))
    logger.info("%s", " ".join(f"{name} {seconds:.1f}s" for name, seconds in watch.seconds.items()))
    output = output or folder / LABELS
    output.parent.mkdir(parents=True, exist_ok=True)
    write_labels(output, data.names, labels)
    logger.info("written: %s", output)
    return labels


def _extract(cfg: TrainingConfig, folder: Path) -> Features:
    """Features of the training images with the weights that the configuration names."""
    logger.info("device: %s", use_device(cfg.device))
    records = read_split(cfg.data, skipped_list=folder / BAD_IMAGES).train
    model, _ = trained_network(cfg.model)
    features = wiring.extractor(cfg.eval)(model, wiring.feature_loader(records, cfg.data, cfg.eval))
    pids, camids = ids(records)
    return Features(features, [record.path for record in records], pids, camids)


def _print_sweep(data: Features, cfg: TrainingConfig, sweep: Sequence[float], pids: np.ndarray | None) -> None:
    """One distance computation, then one clustering per eps."""
    name = cfg.labels.clusterer
    if not tables.CLUSTERERS[name].looks_at_eps:
        raise ConfigError(f"labels.clusterer is {name!r}, which does not look at eps; there is nothing to sweep")
    settings = cfg.labels.model_copy(update={"eps": max(sweep)})
    distances = wiring.distance(settings, epoch=1)(data.features, data.camids, stopwatch=Stopwatch())

    def at(distances: csr_matrix, *, eps: float, min_samples: int) -> np.ndarray:
        changed = settings.model_copy(update={"eps": eps, "min_samples": min_samples})
        return wiring.clusterer(changed)(distances)

    rows = sweep_eps(distances, sweep, min_samples=settings.min_samples, pids=pids, cluster=at)
    logger.info("%s", sweep_table(rows, len(data.features)))


def _quality_line(quality: PseudoLabelQuality) -> str:
    """Agreement with the known identities."""
    return (
        f"against the known identities: ARI {quality.ari:.3f}, NMI {quality.nmi:.3f}, mixed clusters "
        f"{100 * quality.mixed_clusters:.1f} %, split identities {100 * quality.split_identities:.1f} %"
    )
