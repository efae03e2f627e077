"""Training, evaluation, clustering and search as functions that take names and plain values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppreid.api.person import LOADED, Overrides, configuration, override_texts
from ppreid.base.environment import ask_for_determinism
from ppreid.base.errors import ConfigError, DataError
from ppreid.config.load import load_config
from ppreid.config.schema import Config
from ppreid.run.log import import_paddle_quietly
from ppreid.verbs.command import for_training
from ppreid.verbs.search import Searcher

if TYPE_CHECKING:
    import numpy as np

    from ppreid.api.shown import Clusters, Found, Trained
    from ppreid.datasets.image_file import Source
    from ppreid.evaluation.ranking import RankingResult


def train(
    what: Config | str | os.PathLike[str],
    overrides: Overrides | None = None,
    *,
    overwrite: bool = False,
    resume: str = "",
) -> Trained:
    """Train a network on images whose identities are unknown, see `ppreid.verbs.train.train`.

    Args:
        what: name or file of a configuration, or one that `load_config` gave.
        overrides: {"solver.epochs": 2, ...}, keys of the configuration.
        overwrite: replace an earlier run in output_dir.
        resume: "auto" goes on with the run in output_dir; a folder or a checkpoint goes on from there.

    Returns:
        The folder of the run, with its metrics.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
        Interrupted: a signal came; what was done is saved.
    """
    texts = override_texts(overrides or {})
    cfg = for_training(load_config(Path(what), texts) if isinstance(what, str | os.PathLike) else what, str(what)[:80])
    if texts and cfg is what:
        raise ConfigError(LOADED)
    if cfg.deterministic:
        ask_for_determinism()
    import_paddle_quietly()
    from ppreid.api.shown import Trained
    from ppreid.run.folder import METRICS
    from ppreid.run.metrics import read_metrics
    from ppreid.verbs.train import train as run

    evaluations = run(cfg, overwrite=overwrite, resume=resume)
    folder = Path(cfg.output_dir)
    return Trained(folder, evaluations, [row for row in read_metrics(folder / METRICS) if row["event"] == "epoch"])


def evaluate(
    what: Config | str | os.PathLike[str], overrides: Overrides | None = None, *, overwrite: bool = False
) -> RankingResult | None:
    """Evaluate a trained network, see `ppreid.verbs.evaluate.evaluate`.

    Args:
        what: see `ppreid.load`; or a configuration that `load_config` gave.
        overrides: keys of the configuration.
        overwrite: replace any file in the place of the results.

    Returns:
        mAP, CMC and the rest, before re-ranking.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    import_paddle_quietly()
    from ppreid.verbs.evaluate import evaluate as run

    return run(configuration(what, overrides), overwrite=overwrite)


def cluster(
    features: np.ndarray,
    *,
    cameras: Sequence[Any] | None = None,
    images: Sequence[Source] | None = None,
    eps: float | None = None,
    overrides: Overrides | None = None,
) -> Clusters:
    """Cluster features once, as `ppreid cluster --features` does, with the same labels.

    Args:
        features: (N, D) unit rows, of `Person.embed` for example.
        cameras: (N,) numbers or names of the images' cameras; only camera-aware distances look at them.
        images: (N,) the images, for their pictures and names.
        eps: largest distance of neighbours, in (0, 1]; None is that of base.yaml.
        overrides: other keys of the section labels, {"labels.k1": 20, ...}.

    Returns:
        The labels, which show themselves.

    Raises:
        ClusteringError: there is no cluster.
        ConfigError: a key or value is wrong.
        DataError: the features are not usable, or cameras or images are not as many.
    """
    import_paddle_quietly()
    import numpy as np

    from ppreid.api.shown import Clusters
    from ppreid.datasets.image_file import named_images
    from ppreid.disk.features import Features
    from ppreid.neighbours.checks import check_features, check_not_collapsed
    from ppreid.verbs.cluster import pseudo_labels

    features = check_features(features)
    check_not_collapsed(features, error=DataError)
    names, held = named_images(images) if images is not None else ([str(row) for row in range(len(features))], {})
    for what, values in (("cameras", cameras), ("images", names)):
        if values is not None and len(values) != len(features):
            raise DataError(f"there are {len(features)} features and {len(values)} {what}; give one for each row")
    unknown = np.full(len(features), -1, np.int64)
    camids = unknown if cameras is None else np.unique(np.asarray(cameras), return_inverse=True)[1].astype(np.int64)
    texts = override_texts({"labels.eps": eps} if eps is not None else {}) + override_texts(overrides or {})
    cfg = for_training(load_config("base.yaml", texts), "base.yaml")
    labels = pseudo_labels(cfg, Features(features, names, unknown, camids))
    return Clusters(labels, names, None if cameras is None else list(cameras), {names[row]: held[row] for row in held})


class Index(Searcher):
    """An index in memory with its network, for many searches."""

    def search(self, queries: Source | Iterable[Source], **options: Any) -> Found:  # noqa: ANN401 - see the docstring
        """Find the most similar images of the index for every query.

        Args:
            queries: images as `Person.embed` takes them, or folders of images.
            **options: k, min_similarity, camera, other_cameras, num_probes, see `IndexSearch.search`.

        Returns:
            One result for each query, as `ppreid search query` gives them.

        Raises:
            ConfigError: a number is out of range, or a camera is unknown.
            DataError: a query is missing or unreadable.
        """
        from ppreid.api.shown import Found
        from ppreid.datasets.image_file import named_images

        names, held = named_images(queries)
        images = [held.get(row, name) for row, name in enumerate(names)]
        return Found(super().search(images, **options), {names[row]: held[row] for row in held})


def open_index(folder: str | os.PathLike[str], overrides: Overrides | None = None) -> Index:
    """Read an index and its network.

    Args:
        folder: made by `make_index` or `ppreid search index`.
        overrides: keys that do not change features, {"device": "cpu", ...}.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    import_paddle_quietly()
    return Index(Path(folder), overrides=override_texts(overrides or {}))


def make_index(
    what: Config | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    overrides: Overrides | None = None,
    overwrite: bool = False,
) -> Index:
    """Make an index, as `ppreid search index` does, and open it.

    Args:
        what: the network, see `ppreid.load`.
        folder: to make.
        images: folder of images, searched with its subfolders; None takes the gallery of the data set, or all of it.
        overrides: keys of the configuration.
        overwrite: replace an index in the folder.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    import_paddle_quietly()
    from ppreid.verbs.search import build_index

    cfg = configuration(what, overrides)
    build_index(cfg, Path(folder), images=Path(images) if images is not None else None, overwrite=overwrite)
    return open_index(folder)
