"""What another eps would give: the same distances, clustered with several."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ppreid.base.numbers import fixed
from ppreid.clustering.labels import GIANT, check_distances, dbscan_labels
from ppreid.clustering.quality import clustering_statistics, pseudo_label_quality
from ppreid.neighbours.checks import check_row_ids


class SweepRow(NamedTuple):
    """The clustering at one eps.

    Attributes:
        eps: largest distance of neighbours.
        clusters: as in `ClusteringStatistics`.
        outliers: as in `ClusteringStatistics`.
        largest: as in `ClusteringStatistics`.
        silhouette: see `sparse_silhouette`.
        ari: see `PseudoLabelQuality`; nan when the identities are not known.
    """

    eps: float
    clusters: int
    outliers: int
    largest: int
    silhouette: float
    ari: float


def sparse_silhouette(distances: sparse.csr_matrix, labels: np.ndarray) -> float:
    """Mean silhouette of the clustered images, where a pair that is not stored counts as distance 1.

    An image scores (b - a) / max(a, b): a is its mean distance to the other images of its cluster, b the smallest mean
    distance to another cluster. Outliers are left out; an image alone in its cluster scores 0.

    Args:
        distances: (N, N) sparse distances in [0, 1], the diagonal stored, as from `jaccard_distance`.
        labels: (N,) pseudo labels, 0 to C - 1, -1 for outliers.

    Returns:
        Mean in [-1, 1]; nan with fewer than two clusters.

    Reference:
        Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", 1987.
    """
    labels = check_row_ids(labels, check_distances(distances).shape[0], "labels")
    rows = np.flatnonzero(labels >= 0)
    own = labels[rows]
    sizes = np.bincount(own)  # (C,)
    if len(sizes) < 2:
        return math.nan
    member = sparse.csr_matrix((np.ones(len(rows)), (rows, own)), shape=(len(labels), len(sizes)))
    closeness = sparse.csr_matrix((1.0 - distances.data, distances.indices, distances.indptr), shape=distances.shape)
    sums = closeness[rows] @ member  # (M, C), sparse: 0 where no pair is stored
    to_own = np.asarray(sums[np.arange(len(rows)), own]).ravel() - 1  # (M,), without the image itself
    means = (sums @ sparse.diags(1 / sizes)).tocoo()  # (M, C)
    means.data[means.col == own[means.row]] = 0
    a = 1 - to_own / np.maximum(sizes[own] - 1, 1)  # (M,)
    b = 1 - means.max(axis=1).toarray().ravel()  # (M,)
    scores = np.where(sizes[own] > 1, (b - a) / np.maximum(np.maximum(a, b), 1e-12), 0.0)
    return float(scores.mean())


def sweep_eps(
    distances: sparse.csr_matrix,
    eps_values: Iterable[float],
    *,
    min_samples: int = 4,
    pids: np.ndarray | None = None,
    cluster: Callable[..., np.ndarray] = dbscan_labels,
) -> list[SweepRow]:
    """Cluster the same distances with several eps.

    Args:
        distances: (N, N) sparse distances, computed once with max_distance at least the largest eps.
        eps_values: values to try.
        min_samples: as for the clusterer.
        pids: (N,) identities, -1 unknown; None when none is known.
        cluster: clusterer that takes `(distances, eps=..., min_samples=...)`.

    Returns:
        One row for each eps, in the order given.
    """
    rows = []
    for eps in eps_values:
        labels = cluster(distances, eps=eps, min_samples=min_samples)
        ari = math.nan if pids is None else pseudo_label_quality(labels, pids).ari
        rows.append(SweepRow(eps, *clustering_statistics(labels), sparse_silhouette(distances, labels), ari))
    return rows


def sweep_table(rows: Sequence[SweepRow], num_images: int) -> str:
    """Text table of a sweep over eps; ARI only where identities are known."""
    with_ari = any(row.ari == row.ari for row in rows)
    header = f"{'eps':>8}{'clusters':>10}{'outliers':>17}{'largest':>9}{'silhouette':>12}" + f"{'ARI':>8}" * with_ari
    lines = [header, "-" * len(header)]
    for row in rows:
        outliers = f"{row.outliers} ({100 * row.outliers / num_images:.1f}%)"
        line = f"{row.eps:>8.3f}{row.clusters:>10}{outliers:>17}{row.largest:>9}{fixed(row.silhouette, 3):>12}"
        line += f"{fixed(row.ari, 3):>8}" if with_ari else ""
        lines.append(line + "  one giant cluster" * (row.largest > GIANT * num_images))
    return "\n".join(lines)


class EpsAdvice(NamedTuple):
    """What a sweep recommends.

    Attributes:
        eps: the value; None where none of the sweep can be recommended.
        reason: why, in words.
    """

    eps: float | None
    reason: str


def advised_eps(rows: Sequence[SweepRow], num_images: int) -> EpsAdvice:
    """The eps that separates all images best, among those without a cluster that swallows the others.

    Args:
        rows: at least one, in rising order of eps.
        num_images: clustered things, N.

    Returns:
        The eps with the highest silhouette times share of clustered images, the lowest of equal ones.

    Note:
        That product is the mean silhouette over all images where an outlier scores 0. The silhouette alone is
        best where nearly all are outliers, and outliers are fewest where all are one cluster.
    """
    usable = [row for row in rows if row.clusters > 1 and row.largest <= GIANT * num_images]
    if not usable:
        if all(row.clusters == 0 for row in rows):
            return EpsAdvice(None, "every value leaves outliers alone; try higher ones")
        return EpsAdvice(None, "every value puts more than a quarter of the images into one cluster; try lower ones")
    best = max(usable, key=lambda row: row.silhouette * (1 - row.outliers / num_images))
    reason = (
        f"it separates all images best: silhouette {fixed(best.silhouette, 2)} and {best.outliers / num_images:.0%} "
        f"outliers, in {best.clusters:,} clusters of at most {best.largest:,}"
    )
    giant = [row.eps for row in rows if row.largest > GIANT * num_images]
    if giant:
        reason += f"; from {min(giant):g} on one cluster holds more than a quarter"
    if len(rows) > 1 and best in (rows[0], rows[-1]):
        reason += "; it is the last value that was tried, so that one beyond it may be better"
    return EpsAdvice(best.eps, reason)
