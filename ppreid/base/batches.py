"""What clustering, training steps, objectives and memories hand to each other; `ppreid.contracts` has it as well.

The paddle types stand for readers and type checkers only: this file imports neither paddle nor numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from paddle import Tensor, nn
    from scipy.sparse import csr_matrix


class Clustering(NamedTuple):
    """What is known when the pseudo labels of an epoch have just been found.

    Attributes:
        features: (N, D) unit rows.
        distances: (N, N) float32, what was clustered, as from a `Distance`.
        labels: (N,) int64, -1 for outliers.
        camids: (N,) cameras, -1 unknown.
    """

    features: np.ndarray
    distances: csr_matrix
    labels: np.ndarray
    camids: np.ndarray


class StepBatch(NamedTuple):
    """What is known of the images of a training step: the one object that objectives and memories get it from.

    Attributes:
        step: its number, from 0 since the start of the run.
        indices: (B,) record numbers of the images, rows of the data set and of everything that is made of it.
        labels: (B,) their clusters.
        degree: of the PLI in this step.
        camids: (B,) their cameras, -1 unknown.
        bn: (B, D) rows of the neck before they are scaled to unit norm, part of the graph that `features` come from;
            None for an objective whose row in the table does not ask for them.
        kept: what `prepare` of the objective's row kept of the clustering.
    """

    step: int
    indices: np.ndarray
    labels: np.ndarray
    degree: float = 0.0
    camids: np.ndarray | None = None
    bn: Tensor | None = None
    kept: Sequence[np.ndarray] = ()

    def of_rows(self, rows: np.ndarray | None) -> StepBatch:
        """The same of some rows (M,) of the batch, repeated where they are; None: all, as they are. Without `bn`."""
        if rows is None:
            return self._replace(bn=None)
        camids = None if self.camids is None else self.camids[rows]
        return self._replace(indices=self.indices[rows], labels=self.labels[rows], camids=camids, bn=None)


class LossTerms(NamedTuple):
    """What an objective hands to the training step.

    Attributes:
        total: scalar to minimise.
        logs: detached scalars by name: "loss", "loss_contrast" and, where it is used, "loss_lp".
        memory_features: (M, D) rows that move the memory after the gradient step, detached.
        memory_labels: (M,) int64, their clusters.
        memory_rows: (M,) int64, the rows of the batch that they come from; None: M is B, and each is its own.
    """

    total: Tensor
    logs: dict[str, Tensor]
    memory_features: Tensor
    memory_labels: np.ndarray
    memory_rows: np.ndarray | None = None


class Objective(Protocol):
    """What one training step minimises."""

    def __call__(
        self, features: Tensor, labels: np.ndarray, centroids: Tensor, degree: float, /, *, batch: StepBatch
    ) -> LossTerms:
        """Features (B, D), their clusters (B,), the memory (C, D), and the degree of the PLI, within [0, 0.25 * base].

        Gradients flow into `features` only, which arrive as the end of a graph of their own, or where the row in the
        table asks for them into `batch.bn`, which `features` are made of. `centroids` are those of the step before and
        must not be changed. `batch` knows everything else; a function whose row in the table has sees_batch=False, as
        it is where the row says nothing, is called without it.
        """


class RunObjective(Protocol):
    """What the steps of a run minimise, from one clustering to the next.

    Attributes:
        heads: features are this many unit rows beside each other; 1 but for networks with part features.
    """

    heads: int

    def prepare(self, clustering: Clustering, /) -> Sequence[np.ndarray]:
        """What the steps of the epoch need of its clustering, as arrays: all processes get them, and checkpoints."""

    def begin(self, centroids: np.ndarray, /) -> None:
        """Let what is trained and has a row per cluster start on the centroids (C, D) of a new epoch."""

    def of_epoch(self, epoch: int, num_clusters: int, kept: Sequence[np.ndarray], /) -> Objective:
        """The objective of an epoch, from 0, with C clusters and what `prepare` gave."""


class Addition(Protocol):
    """A loss that is added to an objective.

    Attributes:
        name: the log shows it as "loss_NAME".
        num_kept: arrays that `prepare` gives.
    """

    name: str
    num_kept: int

    def prepare(self, clustering: Clustering, /) -> Sequence[np.ndarray]:
        """As of a `RunObjective`."""

    def begin(self, centroids: np.ndarray, /) -> None:
        """As of a `RunObjective`."""

    def of_epoch(
        self, epoch: int, num_clusters: int, kept: Sequence[np.ndarray], /
    ) -> Callable[[Tensor, StepBatch], Tensor] | None:
        """Features (B, D) and the batch to a scalar, its weight included; None: nothing is added in this epoch."""


class Twin(Protocol):
    """A network that follows the one that is trained, and is evaluated beside it.

    Attributes:
        network: images to features, like the one that it follows.
    """

    network: nn.Layer

    def start(self) -> None:
        """Become a copy of the network."""

    def follow(self, images: Tensor, /) -> None:
        """Take over a share of a step that is done, on images (B, 3, H, W)."""
