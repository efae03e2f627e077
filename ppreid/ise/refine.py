"""Neighbour-consistent labels (NCPLR): a head is taught what the neighbours of an image in the batch are taken for.

A pseudo label is one cluster and often wrong. Beside it stands, with most of the weight, the mean of what the head now
predicts for the images of the batch that are near in the distance of the clustering, whatever their own labels are.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from scipy.sparse import csr_matrix

from ppreid.base.errors import ClusteringError
from ppreid.contracts import Clustering, StepBatch
from ppreid.ise.class_rows import host_labels
from ppreid.ise.neighbour_graph import csr_arrays, kept_csr, neighbour_means


def neighbour_targets(
    logits: Tensor, labels: np.ndarray | Tensor, indices: np.ndarray, graph: csr_matrix, *, alpha: float
) -> Tensor:
    """Refined labels: alpha of the pseudo label, the rest of `neighbour_means`.

    Args:
        logits: (B, C).
        labels: (B,) clusters, 0..C-1.
        indices: (B,) record numbers.
        graph: (N, N) from `neighbour_graph`.
        alpha: share of the pseudo label, within [0, 1].

    Returns:
        (B, C) rows that sum to 1, without gradient.
    """
    hard = F.one_hot(paddle.to_tensor(host_labels(labels)), logits.shape[1])  # (B, C)
    return alpha * hard + (1.0 - alpha) * neighbour_means(logits, indices, graph)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with targets (B, C) that are no single classes, the mean over the rows."""
    return -(targets * F.log_softmax(logits, axis=1)).sum(axis=1).mean()


def head_logits(bn: Tensor, weight: Tensor, num_clusters: int) -> Tensor:
    """Logits (B, C) of rows (B, D) of the neck: its unnormalised length, about 45, stands for a temperature."""
    # cut before the softmax: rows beyond C belong to no cluster of this epoch
    return paddle.matmul(bn, weight[:num_clusters], transpose_y=True)


class RefineHead(nn.Layer):
    """A linear layer without bias from the rows of the neck to clusters, as many as there may ever be.

    Args:
        max_clusters: rows of the weight.
        dim: D.
    """

    def __init__(self, max_clusters: int, dim: int) -> None:
        super().__init__()
        start = nn.initializer.Normal(std=0.001)
        self.weight = self.create_parameter([max_clusters, dim], default_initializer=start)

    @paddle.no_grad()
    def begin(self, centroids: Tensor) -> None:
        """Put the centroids (C, D) into the first rows.

        Raises:
            ClusteringError: there are more than rows.
        """
        rows = self.weight.shape[0]
        if centroids.shape[0] > rows:
            raise ClusteringError(
                f"the clustering found {centroids.shape[0]:,} clusters and refine.max_clusters is {rows:,}; raise it "
                "in a new run, or raise labels.eps, which makes fewer clusters"
            )
        self.weight.set_value(paddle.concat([centroids, self.weight[centroids.shape[0] :]]))


class Refinement:
    """The loss of refined labels, as an addition to an objective; see `contracts.Addition` for what is not said here.

    Args:
        head: trained like the network.
        weight: of the loss.
        graph: distances and labels -> neighbours, see `neighbour_graph`.
        alpha: see `neighbour_targets`.
        start_epoch: first epoch of the loss, from 0.

    Reference:
        NCPLR, as its released code computes it: nothing of the "consistency regularisation" of its abstract is in it.
    """

    name, num_kept = "refine", 3

    def __init__(
        self,
        head: RefineHead,
        *,
        weight: float,
        graph: Callable[[csr_matrix, np.ndarray], csr_matrix],
        alpha: float,
        start_epoch: int = 0,
    ) -> None:
        self._head, self._weight, self._alpha, self._start_epoch = head, weight, alpha, start_epoch
        self._graph = graph

    def prepare(self, clustering: Clustering) -> Sequence[np.ndarray]:
        """The graph of neighbours."""
        return csr_arrays(self._graph(clustering.distances, clustering.labels))

    def begin(self, centroids: np.ndarray) -> None:
        """Let the head start on the centroids; what its moments have learned goes on."""
        self._head.begin(paddle.to_tensor(centroids))

    def of_epoch(self, epoch: int, num_clusters: int, kept: Sequence[np.ndarray]) -> "partial[Tensor] | None":
        """The loss of an epoch."""
        if epoch < self._start_epoch:
            return None
        return partial(self._loss, graph=kept_csr(kept), num_clusters=num_clusters)

    def _loss(self, features: Tensor, batch: StepBatch, *, graph: csr_matrix, num_clusters: int) -> Tensor:
        # the images alone, not their supports: there is no distance between a support and an image
        logits = head_logits(batch.bn, self._head.weight, num_clusters)
        targets = neighbour_targets(logits, batch.labels, batch.indices, graph, alpha=self._alpha)
        return self._weight * soft_cross_entropy(logits, targets)
