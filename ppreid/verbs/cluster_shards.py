"""ppreid cluster --shard and --merge: labels of features that several machines make, each some rows of every step.

The steps of a shard need the earlier ones of all shards. A call does those that it can: three rounds of calls, one for
each shard, do all. What is done is in files of its own, so that whatever is killed loses the shard in progress.
"""

import logging
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppreid import tables
from ppreid.base.errors import ConfigError, DataError
from ppreid.clustering.by_rows import encoded_rows, joined_labels, near_rows
from ppreid.config.method import LabelsConfig
from ppreid.config.schema import TrainingConfig
from ppreid.disk.checks import make_folder
from ppreid.disk.features import Features, read_feature_rows
from ppreid.disk.files import CHECKSUM_SUFFIX, file_sha256
from ppreid.disk.shards import Shard, all_shards, check_shard, make_shard, parse_shard, read_shard
from ppreid.disk.tensor_file import read_facts
from ppreid.disk.text import read_text
from ppreid.neighbours.checks import at_most_all, check_not_collapsed
from ppreid.neighbours.compiled import SparseRows
from ppreid.neighbours.row_search import ROWS_PER_SHARE, row_neighbours
from ppreid.processes.ray_shards import run_on_ray
from ppreid.verbs import cluster

logger = logging.getLogger("ppreid")

NEIGHBOURS, ENCODING, PAIRS = "neighbours", "encoding", "pairs"
_AS_BY_DEFAULT = ("unit", "cannot_link", "distance", "clusterer", "camera_centre")  # what rows cannot do otherwise


class Work(NamedTuple):
    """Files that shards have in common.

    Attributes:
        folder: where they are.
        total: of shards.
        facts: what they are made from, by name.
        eps: of the pairs.
    """

    folder: Path
    total: int
    facts: Mapping[str, Any]
    eps: float

    def file(self, step: str, shard: Shard) -> Path:
        """Where a shard of a step is."""
        return shard.file(self.folder / f"{step}.safetensors")

    def facts_of(self, step: str, shard: Shard) -> dict[str, Any]:
        """What it says that it was made from."""
        return {**self.facts, "step": step, "shard": str(shard), **({"eps": self.eps} if step == PAIRS else {})}

    def all_of(self, step: str) -> list[dict[str, np.ndarray]]:
        """The arrays of all shards of a step."""
        shards = all_shards(self.total)
        return [read_shard(self.file(step, shard), self.facts_of(step, shard), shard=shard) for shard in shards]

    def waits_for(self, step: str) -> list[Shard]:
        """The shards whose step is not done."""
        return [shard for shard in all_shards(self.total) if not self.file(step, shard).exists()]


def run_shards(args: Namespace, cfg: TrainingConfig) -> None:
    """Do what --shard or --merge asks for."""
    if args.shard is None and args.merge is None and args.ray is None:
        raise ConfigError("--work is the folder of shards; give --shard I/N or --merge N as well")
    option = "--merge" if args.shard is None else "--shard"
    if args.features is None:
        raise ConfigError(f"{option} needs --features FILE, which ppreid extract writes")
    if args.sweep:
        raise ConfigError(f"{option} makes labels for one eps; leave --sweep out")
    work = args.work or args.features.with_suffix(".shards")
    if args.shard is not None:
        cluster_shard(cfg, args.features, parse_shard(args.shard), work)
        return
    if args.ray is not None:
        make = partial(cluster_shard, cfg, args.features, folder=work)
        run_on_ray(make, args.merge, address=args.ray, plugins=args.plugins)
    merged = partial(merged_labels, features_file=args.features, count=args.merge, folder=work)
    cluster.cluster(cfg, features_file=args.features, output=args.out, overwrite=args.overwrite, labels_of=merged)


def cluster_shard(cfg: TrainingConfig, features_file: Path, shard: Shard, folder: Path) -> bool:
    """Do the steps of a shard that can be done, those that are done already left out.

    Args:
        cfg: the labels section says how.
        features_file: features (N, D) of all images.
        shard: which rows.
        folder: that all shards share, made if it is not there.

    Returns:
        Whether the shard is done; otherwise it waits for others, and the log says for which.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    features = read_feature_rows(features_file)
    work = _work(cfg.labels, features_file, len(features), shard.total, folder)
    make_folder(folder)
    last = work.file(PAIRS, shard)
    if last.exists():
        check_shard(read_facts(last), work.facts_of(PAIRS, shard), last)
        logger.info("shard %s is done already", shard)
        return True
    check_not_collapsed(features, error=DataError)
    rows, k1, k2 = shard.rows(len(features), block=ROWS_PER_SHARE), work.facts["k1"], work.facts["k2"]

    def encoding() -> dict[str, np.ndarray]:
        ranking = np.concatenate([part["indices"] for part in work.all_of(NEIGHBOURS)])
        return encoded_rows(features, ranking, rows, k1=k1, k2=k2)._asdict()

    def pairs() -> dict[str, np.ndarray]:
        parts = [SparseRows(**part) for part in work.all_of(ENCODING)]
        return near_rows(parts, rows, max_distance=work.eps)._replace(values=np.empty(0, np.float32))._asdict()

    steps = {
        NEIGHBOURS: lambda: {"indices": row_neighbours(features, max(k1, k2), rows, method=cfg.labels.neighbours)},
        ENCODING: encoding,
        PAIRS: pairs,
    }
    before = None
    for step, arrays in steps.items():
        if before and (missing := work.waits_for(before)):
            logger.info(
                "shard %s waits for %s of %d others, the first is %s: run it again when they are done",
                *(shard, before, len(missing), missing[0]),
            )
            return False
        if make_shard(work.file(step, shard), work.facts_of(step, shard), arrays):
            logger.info("shard %s, %d rows: %s done", shard, len(rows), step)
        before = step
    return True


def merged_labels(cfg: TrainingConfig, data: Features, *, features_file: Path, count: int, folder: Path) -> np.ndarray:
    """Labels (N,) of features, -1 for outliers, from the files of all shards.

    Raises:
        ClusteringError: there is no cluster.
        DataError: a shard is missing or damaged, or was made from something else.
    """
    parts = _work(cfg.labels, features_file, len(data.features), count, folder).all_of(PAIRS)
    labels = joined_labels([SparseRows(**part) for part in parts], min_samples=cfg.labels.min_samples)
    cluster.show_labels(cfg, labels)
    return labels


def _work(cfg: LabelsConfig, features_file: Path, num_images: int, count: int, folder: Path) -> Work:
    """The files of shards that are made with these settings."""
    default = LabelsConfig()
    for key in _AS_BY_DEFAULT:
        if getattr(cfg, key) != getattr(default, key):
            raise ConfigError(
                f"labels.{key} is {getattr(cfg, key)!r}, which needs all images at once; set "
                f"labels.{key}={getattr(default, key)} or cluster without shards"
            )
    if num_images > tables.NEIGHBOURS[cfg.neighbours].exact_up_to:
        raise ConfigError(
            f"labels.neighbours is {cfg.neighbours!r}, which is not exact for {num_images:,} images and would depend "
            "on the shards; set labels.neighbours=certified"
        )
    record = Path(f"{features_file}{CHECKSUM_SUFFIX}")  # was compared when the features were read
    digest = read_text(record).split()[0] if record.exists() else file_sha256(features_file)
    facts = {
        "features": digest,
        "images": num_images,
        "neighbour search": cfg.neighbours,
        "k1": at_most_all("k1", cfg.k1, num_images),
        "k2": at_most_all("k2", cfg.k2, num_images),
    }
    return Work(folder, count, facts, cfg.eps)
