"""Look at the network and the data set of a run for its page."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ppreid.base.errors import EvaluationError
from ppreid.base.records import ImageRecord, ReIDSplit, ids
from ppreid.contracts import ImageFeatures, Projection, Ranker
from ppreid.evaluation.inputs import Identities
from ppreid.evaluation.ranking import RankingResult
from ppreid.report.evidence import Evidence, MapEvidence, RankingEvidence, cluster_evidence, ranking_evidence
from ppreid.report.run_files import RunFiles, same_images

TSNE_IMAGES = 1500  # seconds for t-SNE on one core: 7 for 1,000 images, 9 for 1,500
_PERPLEXITY = 30


def labels_alone(run: RunFiles) -> Evidence:
    """What the labels of a run show without network and images."""
    return Evidence(clusters=cluster_evidence(run.labels.labels, None, per_kind=1, seed=0) if run.labels else None)


def gather_evidence(
    run: RunFiles,
    split: ReIDSplit,
    *,
    extract: ImageFeatures,
    rank: Ranker[RankingResult],
    prepare: Callable[[np.ndarray], np.ndarray],
    project: Projection,
    projection: str,
    num_clusters: int,
    num_queries: int,
    num_points: int,
    ignore_camera: bool,
    seed: int,
) -> Evidence:
    """Look at rankings, clusters and features.

    Args:
        run: what its folder says.
        split: its data set.
        extract: images to features.
        rank: features, identities and cameras of query and gallery to metrics.
        prepare: what is done to the features of query and gallery (Q + G, D) before they are compared.
        project: features to a map.
        projection: name of `project`.
        num_clusters: contact sheets of each kind.
        num_queries: rank lists of each kind.
        num_points: training images in the map, at most.
        ignore_camera: images of the query's own camera count as well.
        seed: of everything that is chosen.

    Returns:
        What there is to show; `Evidence.notes` say what is missing.
    """
    notes: list[str] = []
    labels = run.labels.labels if run.labels else None
    train = split.train
    if run.labels and not same_images(run.labels.names, [record.path for record in train]):
        notes.append("Images of clusters and the map are missing: the training images are not those of labels.csv.")
        train = ()
    clusters = None
    if labels is not None:
        clusters = cluster_evidence(labels, train or None, per_kind=num_clusters, seed=seed)
    ranking = None
    if split.query and split.gallery:
        try:
            ranking = _ranking(
                split, extract, prepare, rank, per_kind=num_queries, ignore_camera=ignore_camera, seed=seed
            )
        except EvaluationError as error:
            notes.append(f"There is no ranking: {error}")
    feature_map = None
    if train:
        rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:num_points])
        points = project(extract([train[row] for row in rows], description="report: map"), seed=seed)
        feature_map = MapEvidence(train, rows, points, None if labels is None else labels[rows], projection)
    return Evidence(ranking, clusters, feature_map, notes)


def _ranking(
    split: ReIDSplit,
    extract: ImageFeatures,
    prepare: Callable[[np.ndarray], np.ndarray],
    rank: Ranker[RankingResult],
    *,
    per_kind: int,
    ignore_camera: bool,
    seed: int,
) -> RankingEvidence:
    """Rank the whole gallery for every query."""
    images: Sequence[ImageRecord] = split.query + split.gallery
    features, count = prepare(extract(images, description="report: ranking")), len(split.query)
    query_pids, query_camids = ids(split.query)
    gallery_pids, gallery_camids = ids(split.gallery)
    identities = Identities(query_pids, gallery_pids, query_camids, gallery_camids)
    return ranking_evidence(
        features,
        split.query,
        split.gallery,
        identities,
        rank(features[:count], features[count:], *identities),
        per_kind=per_kind,
        ignore_camera=ignore_camera,
        seed=seed,
    )


def pca_map(features: np.ndarray, *, seed: int) -> np.ndarray:
    """The two directions of the largest variance.

    Args:
        features: (N, D), N at least 1.
        seed: of the solver.

    Returns:
        (N, 2) within [0, 1], with one scale for both axes.
    """
    if len(features) < 2:
        return np.full((len(features), 2), 0.5)
    parts = min(2, *features.shape)
    points = PCA(parts, svd_solver="randomized", random_state=seed).fit_transform(features)
    return _unit_square(np.pad(points, ((0, 0), (0, 2 - parts))))


def tsne_map(features: np.ndarray, *, seed: int) -> np.ndarray:
    """t-SNE, started from PCA: neighbours stay together, distances between groups mean little.

    Args:
        features: (N, D), N at least 1.
        seed: of the optimisation.

    Returns:
        (N, 2) within [0, 1], with one scale for both axes. With fewer than 4 images the same as `pca_map`.

    Reference:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    if len(features) < 4 or features.shape[1] < 2:
        return pca_map(features, seed=seed)
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):  # several threads add up in another order each time, and the map is another one
        return _unit_square(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(features))


def affordable_map(features: np.ndarray, *, seed: int) -> np.ndarray:
    """t-SNE of up to TSNE_IMAGES images, otherwise PCA.

    Args:
        features: (N, D), N at least 1.
        seed: of the optimisation.

    Returns:
        (N, 2) within [0, 1], with one scale for both axes.
    """
    return (tsne_map if len(features) <= TSNE_IMAGES else pca_map)(features, seed=seed)


def _unit_square(points: np.ndarray) -> np.ndarray:
    """Shift and scale points (N, 2) into the middle of the unit square."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return (points - (low + high) / 2) / size + 0.5
