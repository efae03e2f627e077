"""The cluster memory: one centroid per cluster, moved by the features of every training step."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppreid.base.errors import ConfigError, TrainingError
from ppreid.contracts import MemoryUpdate, StepBatch
from ppreid.ise.class_rows import cameras_of, check_labels, host_labels, rows_by_class


@paddle.no_grad()
def update_hard(centroids: Tensor, features: Tensor, labels: np.ndarray | Tensor, *, momentum: float) -> Tensor:
    """Move the centroid of every class in the batch once, towards the row that is least similar to it.

    Args:
        centroids: (C, D) unit rows; not changed.
        features: (M, D) unit rows, samples and supports alike.
        labels: (M,) clusters, 0..C-1.
        momentum: weight of the old centroid.

    Returns:
        (C, D) unit rows; classes that are not in the batch keep their row.

    Example:
        The class has rows at 20 and 60 degrees; with momentum 0 its centroid goes to the one that it resembles less.

        >>> radians = np.deg2rad([0, 20, 60])
        >>> unit = paddle.to_tensor(np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32"))
        >>> ((x, y),) = update_hard(unit[:1], unit[1:], np.array([0, 0]), momentum=0.0).tolist()
        >>> round(float(np.rad2deg(np.arctan2(y, x))))
        60

    Reference:
        Dai et al., ACCV 2022 (update by the hardest instance; "hard" in the released scripts). Of equally hard rows
        the first counts.
    """
    labels = host_labels(labels)
    groups = rows_by_class(labels)
    rows, classes = paddle.to_tensor(groups.rows), paddle.to_tensor(groups.classes)
    own_centroids = paddle.index_select(centroids, paddle.to_tensor(labels))  # (M, D)
    # row by row, not features @ centroids.T: of its (M, C) products all but M would be thrown away
    similarity = (features * own_centroids).sum(axis=1)  # (M,)
    by_class = paddle.index_select(similarity, rows.flatten()).reshape(groups.rows.shape)  # (P, R)
    hardest = paddle.take_along_axis(rows, by_class.argmin(axis=1, keepdim=True), axis=1).flatten()  # (P,)
    old = paddle.index_select(centroids, classes)  # (P, D)
    # momentum is the weight of the old centroid, as in the released code; elsewhere it often is that of the new
    new = F.normalize(momentum * old + (1.0 - momentum) * paddle.index_select(features, hardest), axis=1)
    return paddle.scatter(centroids, classes, new)  # a new tensor: the loss of this step still refers to the old one


@paddle.no_grad()
def update_sequential(centroids: Tensor, features: Tensor, labels: np.ndarray | Tensor, *, momentum: float) -> Tensor:
    """Move centroids row after row, each by a running mean that is normalised again after every row.

    Classes do not influence each other, so round r handles the r-th row of all classes at once: a batch of P classes
    with R rows each takes R rounds instead of P * R steps, and gives the same centroids.

    Args:
        centroids: (C, D) unit rows; not changed.
        features: (M, D) unit rows; their order within a class matters, and the last rows weigh most.
        labels: (M,) clusters, 0..C-1.
        momentum: weight of the old centroid in each step.

    Returns:
        (C, D) unit rows; classes that are not in the batch keep their row.

    Reference:
        Dai et al., ACCV 2022 (update by every instance; "ori" in the released scripts).
    """
    groups = rows_by_class(host_labels(labels))
    classes = paddle.to_tensor(groups.classes)
    current = paddle.index_select(centroids, classes)  # (P, D)
    by_round = paddle.index_select(features, paddle.to_tensor(groups.rows.T.ravel())).reshape([-1, *current.shape])
    # a class without a row in this round keeps its centroid: momentum 1
    keep = paddle.to_tensor(np.where(groups.valid.T, momentum, 1.0).astype(np.float32)).unsqueeze(2)  # (R, P, 1)
    for arrivals, weight in zip(by_round.unbind(0), keep.unbind(0), strict=True):
        current = F.normalize(weight * current + (1.0 - weight) * arrivals, axis=1)
    return paddle.scatter(centroids, classes, current)


class ClusterMemory:
    """The centroids of one epoch; built from the pseudo labels, since their number changes with every clustering.

    Losses read `centroids`; `update` is the only place that replaces them. The training loop calls it once per step,
    after the gradient, so that supports and losses of a step see the memory of the step before.

    Attributes:
        centroids: (C, heads * D) float32, each head a unit row; never part of a gradient.
    """

    def __init__(
        self,
        centroids: np.ndarray | Tensor,
        update: MemoryUpdate,
        momentum: float,
        *,
        heads: int = 1,
        needs_cameras: bool = False,
    ) -> None:
        """Take over the centroids of a clustering.

        Args:
            centroids: (C, heads * D), C at least 1.
            update: `update_hard`, `update_sequential` or a function with their signature.
            momentum: weight of the old centroid in an update, within [0, 1].
            heads: rows that a feature consists of, each with centroids of its own that the same clusters move.
            needs_cameras: `update` takes the cameras (M,) of the rows behind their labels.

        Raises:
            TrainingError: if `centroids` is not a matrix with at least one row whose heads are equally wide.
            ConfigError: if `momentum` is out of range.
        """
        if len(centroids.shape) != 2 or centroids.shape[0] == 0:
            raise TrainingError(f"a memory needs centroids (C, D), C at least 1; got shape {tuple(centroids.shape)}")
        if centroids.shape[1] % heads:
            raise TrainingError(f"centroids of {centroids.shape[1]} numbers cannot be those of {heads} equal heads")
        if not 0.0 <= momentum <= 1.0:
            raise ConfigError(f"memory momentum is {momentum}; the weight of the old centroid lies within [0, 1]")
        self.centroids = paddle.to_tensor(np.asarray(centroids), dtype="float32")
        self._update = update
        self._momentum = momentum
        self._heads = heads
        self._needs_cameras = needs_cameras

    @paddle.no_grad()
    def update(self, features: Tensor, labels: np.ndarray | Tensor, batch: StepBatch | None = None) -> None:
        """Move the centroids by the rows of one training step.

        Args:
            features: (M, heads * D) samples, and supports below them where the objective wants it; normalised here,
                head by head.
            labels: (M,) clusters, 0..C-1.
            batch: of each of these rows, which image it comes from; an update by cameras needs it.

        Raises:
            TrainingError: if a label has no centroid, or the cameras of the rows are missing.
        """
        labels = host_labels(labels)
        check_labels(labels, self.centroids.shape[0])
        of_rows = (cameras_of(batch, labels),) if self._needs_cameras else ()
        update = partial(self._update, momentum=self._momentum)
        heads = zip(
            *(self._by_head(rows) for rows in (self.centroids, features.detach().astype("float32"))), strict=True
        )
        # again, since a unit row that went through float16 is off by up to 5e-4, which the centroids would inherit
        moved = [update(old, F.normalize(rows, axis=1), labels, *of_rows) for old, rows in heads]
        self.centroids = moved[0] if self._heads == 1 else paddle.concat(moved, axis=1)

    def _by_head(self, rows: Tensor) -> Sequence[Tensor]:
        """Rows (M, heads * D) as one table (M, D) for each head; a single one is not copied."""
        return [rows] if self._heads == 1 else paddle.split(rows, self._heads, axis=1)
