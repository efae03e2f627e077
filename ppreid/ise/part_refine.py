"""Refined labels of the whole image and its halves (GL-NCPLR): each learns from what the others predict as well.

A feature is three unit rows beside each other, of the whole image, its upper and its lower half. There is one set of
labels, from a mix of three distances, and for each row a memory and a head of its own.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import paddle
from paddle import Tensor, nn
from scipy.sparse import csr_matrix

from ppreid.base.progress import Stopwatch
from ppreid.contracts import Clustering, Distance, StepBatch
from ppreid.ise.class_rows import host_labels
from ppreid.ise.neighbour_graph import csr_arrays, kept_csr, neighbour_means
from ppreid.ise.refine import RefineHead, head_logits, soft_cross_entropy

HEADS = 3
LEAST = 1e-12  # of a probability in a divergence; the released form is NaN where a softmax has underflowed


def mixed_distance(
    features: np.ndarray,
    camids: np.ndarray,
    *,
    stopwatch: Stopwatch,
    distance: Distance,
    part_distance: float = 0.2,
    max_distance: float = 1.0,
) -> csr_matrix:
    """Mean of the distances of the three rows, the halves with weight `part_distance`.

    Args:
        features: (N, 3 * D), three unit rows beside each other.
        camids: (N,) cameras.
        stopwatch: receives the stages of the distances.
        distance: of one row; it must store every pair that is nearer than 1.
        part_distance: weight of each half, within [0, 0.5]; the whole image has the rest.
        max_distance: farther pairs are not stored.

    Returns:
        (N, N) as from any distance.
    """
    weights = (1.0 - 2.0 * part_distance, part_distance, part_distance)
    mixed = csr_matrix((len(features), len(features)), dtype=np.float32)
    for weight, head in zip(weights, np.split(features, HEADS, axis=1), strict=True):
        near = distance(np.ascontiguousarray(head), camids, stopwatch=stopwatch)
        # as similarities, in which a pair that is not stored is 0; as distances it would count as near
        mixed = mixed + csr_matrix((weight * (1.0 - near.data), near.indices, near.indptr), shape=near.shape)
    pairs = mixed.tocoo()
    far = np.clip(1.0 - pairs.data, 0.0, 1.0).astype(np.float32)
    kept = (far <= np.float32(max_distance)) | (pairs.row == pairs.col)
    return csr_matrix((far[kept], (pairs.row[kept], pairs.col[kept])), shape=mixed.shape)


def agreement(own: Tensor, other: Tensor, temperature: float) -> Tensor:
    """exp(-KL(own || other) / temperature) of the rows of two tables (B, C) of probabilities, as (B, 1)."""
    own, other = own.clip(min=LEAST), other.clip(min=LEAST)
    return paddle.exp(-(own * paddle.log(own / other)).sum(axis=1, keepdim=True) / temperature)


@paddle.no_grad()
def part_targets(
    means: Sequence[Tensor], labels: np.ndarray | Tensor, *, alpha: float, part_alpha: float, kl_temperature: float
) -> list[Tensor]:
    """Refined labels of whole image and halves.

    Args:
        means: of the neighbours (B, C), see `neighbour_means`: of the whole image, the upper and the lower half.
        labels: (B,) clusters.
        alpha: share of the pseudo label for the whole image.
        part_alpha: the same for the halves.
        kl_temperature: the larger, the more those count who disagree.

    Returns:
        Three tables (B, C) whose rows sum to 1, without gradient.
    """
    whole, *halves = means
    hard = nn.functional.one_hot(paddle.to_tensor(host_labels(labels)), whole.shape[1])
    # a half may show nothing but background: it counts as far as it agrees with the whole
    trust = [agreement(whole, half, kl_temperature) for half in halves]
    joined = sum((weight * half for weight, half in zip(trust, halves, strict=True)), whole) / (1.0 + sum(trust))
    targets = [alpha * hard + (1.0 - alpha) * joined]
    for half in halves:
        weight = agreement(half, whole, kl_temperature)
        targets.append(part_alpha * hard + (1.0 - part_alpha) * (half + weight * whole) / (1.0 + weight))
    return targets


class PartRefinement:
    """The loss of `part_targets`, as an addition to an objective; see `contracts.Addition` and `refine.Refinement`."""

    name, num_kept = "refine", 3

    def __init__(
        self,
        heads: Sequence[RefineHead],
        *,
        weight: float,
        part_weight: float,
        graph: Callable[[csr_matrix, np.ndarray], csr_matrix],
        start_epoch: int = 0,
        **targets: float,
    ) -> None:
        self._heads, self._weight, self._part_weight = heads, weight, part_weight
        self._graph, self._start_epoch = graph, start_epoch
        self._targets = partial(part_targets, **targets)

    def prepare(self, clustering: Clustering) -> Sequence[np.ndarray]:
        """The graph of neighbours, one for all heads."""
        return csr_arrays(self._graph(clustering.distances, clustering.labels))

    def begin(self, centroids: np.ndarray) -> None:
        """Let each head start on its centroids."""
        for head, own in zip(self._heads, paddle.split(paddle.to_tensor(centroids), HEADS, axis=1), strict=True):
            head.begin(own)

    def of_epoch(self, epoch: int, num_clusters: int, kept: Sequence[np.ndarray]) -> "partial[Tensor] | None":
        """The loss of an epoch."""
        if epoch < self._start_epoch:
            return None
        return partial(self.loss, graph=kept_csr(kept), num_clusters=num_clusters)

    def loss(self, features: Tensor, batch: StepBatch, *, graph: csr_matrix, num_clusters: int) -> Tensor:
        """Cross entropies of the three heads; their weights sum to more than 1, as released."""
        rows = paddle.split(batch.bn, HEADS, axis=1)
        logits = [head_logits(bn, head.weight, num_clusters) for bn, head in zip(rows, self._heads, strict=True)]
        # one graph for all: the labels come from one distance, and so do the neighbours
        means = [neighbour_means(each, batch.indices, graph) for each in logits]
        targets = self._targets(means, batch.labels)
        losses = [soft_cross_entropy(*pair) for pair in zip(logits, targets, strict=True)]
        return self._weight * sum(w * loss for w, loss in zip(head_weights(self._part_weight), losses, strict=True))


def head_weights(part_weight: float) -> tuple[float, float, float]:
    """Weights of the losses of whole image and halves: 0.8, 0.2 and 0.2 as released."""
    return 1.0 - part_weight, part_weight, part_weight
