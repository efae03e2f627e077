"""ppreid cluster, tools/cluster.py: features, distances, labels; or one table for many values of eps."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import ConfigError, DataError, WeightsError
from ppreid.config.schema import TrainingConfig
from ppreid.run.log import log_result, logger
from ppreid.verbs.command import add_overwrite, add_run_arguments, add_shards, read_training_config

if TYPE_CHECKING:
    import numpy as np

    from ppreid.base.records import ImageRecord
    from ppreid.disk.features import Features

EXAMPLES = """\
  python tools/cluster.py output/demo --out clusters.csv
  python tools/cluster.py output/demo --sweep eps=0.3:0.8:0.05
  python tools/cluster.py --features features.npy -o labels.eps=0.5 --out labels.csv
  python tools/cluster.py --features features.npy --shard 3/16
  python tools/cluster.py --features features.npy --merge 16 --out labels.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_run_arguments(parser, default="base.yaml")
    parser.add_argument("--features", type=Path, metavar="FILE", help=".npy or .npz instead of images and a network")
    parser.add_argument("--out", type=Path, metavar="FILE", help="CSV to write, instead of output_dir/labels.csv")
    add_overwrite(parser, "a file in the place of the CSV, whatever it is")
    parser.add_argument("--sweep", metavar="eps=FIRST:LAST:STEP", help="print a table over eps and write nothing")
    add_shards(parser, "the rows of --features; run each three times, when all have run before")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder of all shards; default FEATURES.shards")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    sweep, cfg = _sweep_values(args.sweep) if args.sweep else None, read_training_config(args)
    if any(option is not None for option in (args.shard, args.merge, args.work, args.ray)):
        from ppreid.verbs.cluster_shards import run_shards

        run_shards(args, cfg)
        return
    cluster(cfg, features_file=args.features, output=args.out, sweep=sweep, overwrite=args.overwrite)


def cluster(
    cfg: TrainingConfig,
    *,
    features_file: Path | None = None,
    output: Path | None = None,
    sweep: Sequence[float] | None = None,
    overwrite: bool = False,
    labels_of: Callable[[TrainingConfig, Features], np.ndarray] | None = None,
) -> np.ndarray | None:
    """Cluster features once, as an epoch of training would, or show what every eps would do.

    Args:
        cfg: the labels section says how; without a features file, data and model.weights say of what.
        features_file: features (N, D), see `read_features`; None extracts those of the training images.
        output: CSV of path and cluster; None is output_dir/labels.csv.
        sweep: values of eps: prints one line for each and writes nothing.
        overwrite: replace any file in the place of the CSV, also the labels of a run.
        labels_of: gives the labels; None is `pseudo_labels`.

    Returns:
        (N,) labels, -1 for outliers; None for a sweep.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.clustering.quality import pseudo_label_quality, quality_line
    from ppreid.disk.features import read_features
    from ppreid.neighbours.checks import check_not_collapsed
    from ppreid.processes.device import available_memory, warn_if_labels_do_not_fit
    from ppreid.run.folder import LABELS, write_labels

    folder = Path(cfg.output_dir)
    if not sweep:
        _check_output(output, folder, features_file, overwrite=overwrite)
    data = read_features(features_file) if features_file else _extract(cfg, folder, overwrite=overwrite)
    logger.info("%d features of %d dimensions", *data.features.shape)
    check_not_collapsed(data.features, error=DataError if features_file else WeightsError)
    if labels_of is None:
        warn_if_labels_do_not_fit(len(data.features), neighbours=cfg.labels.of_unit().k1, available=available_memory())
    if sweep:
        _print_sweep(data, cfg, sweep)
        return None
    labels = (labels_of or pseudo_labels)(cfg, data)
    if (data.pids >= 0).any():
        logger.info("%s", quality_line(pseudo_label_quality(labels, data.pids)))
    output = output or folder / LABELS
    write_labels(output, data.names, labels)
    logger.info("written: %s", output)
    return labels


def pseudo_labels(cfg: TrainingConfig, data: Features) -> np.ndarray:
    """Labels (N,) of features, -1 for outliers, as the labels section says.

    Raises:
        ClusteringError: there is no cluster.
        DataError: the features are not usable, see `check_features`, or tracks are missing.
    """
    from ppreid import wiring
    from ppreid.base.progress import Stopwatch
    from ppreid.training.pseudo_labels import assign_pseudo_labels

    watch = Stopwatch()
    graph = wiring.track_graph(cfg.labels, _records(data), shared_clock=cfg.data.shared_clock)
    distance, clusterer = wiring.distance(cfg.labels, epoch=1, graph=graph), wiring.clusterer(cfg.labels)
    clusterer = graph.clusterer(clusterer) if graph else clusterer
    labels, _ = assign_pseudo_labels(
        data.features, data.camids, distance=distance, clusterer=clusterer, stopwatch=watch
    )
    show_labels(cfg, labels)
    logger.info("%s", " ".join(f"{name} {seconds:.1f}s" for name, seconds in watch.seconds.items()))
    return labels


def show_labels(cfg: TrainingConfig, labels: np.ndarray) -> None:
    """Say what labels (N,) there are.

    Raises:
        ClusteringError: there is no cluster.
    """
    from ppreid import tables
    from ppreid.clustering.labels import log_giant_cluster, require_clusters
    from ppreid.clustering.quality import clustering_statistics

    own = cfg.labels.of_unit()
    require_clusters(labels, eps=own.eps, min_samples=own.min_samples, of_tracks=own.unit == "track")
    clusters, outliers, largest = clustering_statistics(labels)
    logger.info("%d clusters, %d outliers, largest %d", clusters, outliers, largest)
    log_giant_cluster(labels, eps=cfg.labels.eps if tables.CLUSTERERS[cfg.labels.clusterer].looks_at_eps else None)


def _check_output(output: Path | None, folder: Path, features_file: Path | None, *, overwrite: bool) -> None:
    """Refuse a CSV that would destroy something; the labels of a run are its own, and not a CSV like any other."""
    from ppreid.disk.checks import make_folder_for
    from ppreid.disk.outputs import LABELS_CSV, Output, check_outputs
    from ppreid.run.folder import LABELS, METRICS

    path = output or folder / LABELS
    make_folder_for(path)
    inputs = [features_file, features_file.with_suffix(".csv")] if features_file else []
    check_outputs([Output("--out" if output else "", path, LABELS_CSV)], overwrite=overwrite, inputs=inputs)
    if path.name == LABELS and path.exists() and path.with_name(METRICS).exists() and not overwrite:
        raise ConfigError(f"{path} holds the labels of a run; choose another file (--out), or pass --overwrite")


def _extract(cfg: TrainingConfig, folder: Path, *, overwrite: bool) -> Features:
    """Features of the training images with the weights that the configuration names."""
    from ppreid import wiring
    from ppreid.base.records import ids, tracks
    from ppreid.disk.features import Features
    from ppreid.processes.device import use_device
    from ppreid.run.folder import BAD_IMAGES
    from ppreid.verbs.inputs import read_split
    from ppreid.verbs.network import trained_network

    logger.info("device: %s", use_device(cfg.device))
    records = read_split(cfg.data, skipped_list=folder / BAD_IMAGES, overwrite=overwrite).train
    model, _ = trained_network(cfg.model, cfg.data)
    features = wiring.feature_extractor(cfg, model)(records)
    return Features(features, [record.path for record in records], *ids(records), *tracks(records))


def _records(data: Features) -> list[ImageRecord]:
    """What is known of the images of a file of features."""
    from ppreid.base.records import ImageRecord

    known = [data.names, data.pids.tolist(), data.camids.tolist()]
    if data.tracks is not None and data.times is not None:
        known += [data.tracks.tolist(), data.times.tolist()]
    return [ImageRecord(*fields) for fields in zip(*known, strict=True)]


def _print_sweep(data: Features, cfg: TrainingConfig, sweep: Sequence[float]) -> None:
    """A table with a line for each eps, and which of them to take."""
    from ppreid.clustering.sweep import advised_eps, sweep_table
    from ppreid.wiring.sweep import swept

    rows, count = swept(cfg, data.features, _records(data), sweep)
    log_result(sweep_table(rows, count))
    advice = advised_eps(rows, count)
    recommended = "recommended: none" if advice.eps is None else f"recommended: labels.eps={advice.eps:g}"
    logger.info("%s, since %s", recommended, advice.reason)


def _sweep_values(text: str) -> list[float]:
    """Values of "eps=FIRST:LAST:STEP", the last one included."""
    try:
        name, _, numbers = text.partition("=")
        first, last, step = map(float, numbers.split(":"))
        if name != "eps" or not (0 < first <= last <= 1 and step > 0):
            raise ValueError
    except ValueError:
        text = f"--sweep takes eps=FIRST:LAST:STEP within (0, 1], for example eps=0.3:0.8:0.05; found {text!r}"
        raise ConfigError(text) from None
    return [round(first + i * step, 10) for i in range(int((last - first) / step + 1e-9) + 1)]
