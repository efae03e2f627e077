"""The objective of a run: one that stands alone, or with losses beside it, each a file of this room.

What is beside it is chosen by its section of the configuration, so that it goes together with every `ise.objective`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppreid.base.errors import WeightsError
from ppreid.contracts import Addition, Clustering, LossTerms, Objective, StepBatch

Loss = Callable[[Tensor, StepBatch], Tensor]


class ComposedObjective:
    """What the steps of a run minimise: an objective and what is added to it, see `contracts.RunObjective`.

    Attributes:
        heads: unit rows beside each other that a feature consists of.
    """

    def __init__(
        self,
        base: Callable[[int], Objective],
        *,
        additions: Sequence[Addition] = (),
        prepare: Callable[[Clustering], Sequence[np.ndarray]] | None = None,
        from_bn: bool = False,
        originals: bool = False,
        head_weights: Sequence[float] = (1.0,),
    ) -> None:
        """Put together.

        Args:
            base: number of clusters -> the objective.
            additions: losses beside it.
            prepare: what the objective itself keeps of a clustering; None keeps nothing.
            from_bn: what comes as features are the rows of the neck, which are scaled to unit norm here; with these
                rows as `batch.bn`.
            originals: the images of a batch alone move the memory, not their supports.
            head_weights: of the objective on each of the rows that a feature consists of.
        """
        self.heads = len(head_weights)
        self._base, self._additions, self._prepare = base, additions, prepare
        self._from_bn, self._originals, self._head_weights = from_bn, originals, head_weights

    def prepare(self, clustering: Clustering) -> Sequence[np.ndarray]:
        """What the steps of the epoch need of its clustering: of each addition, then of the objective."""
        # proxies and the like are of the first row, that of the whole image
        clustering = clustering._replace(features=np.split(clustering.features, self.heads, axis=1)[0])
        kept = [array for addition in self._additions for array in addition.prepare(clustering)]
        return [*kept, *(self._prepare(clustering) if self._prepare else ())]

    def begin(self, centroids: np.ndarray) -> None:
        """Let what is trained and has a row per cluster start on the centroids (C, D)."""
        for addition in self._additions:
            addition.begin(centroids)

    def of_epoch(self, epoch: int, num_clusters: int, kept: Sequence[np.ndarray]) -> Objective:
        """The objective of an epoch, from 0.

        Raises:
            WeightsError: `kept`, which may come from a checkpoint, is not what `prepare` gives.
        """
        objective, rest, added = self._base(num_clusters), list(kept), dict[str, Loss]()
        for addition in self._additions:
            own, rest = rest[: addition.num_kept], rest[addition.num_kept :]
            if len(own) < addition.num_kept:
                raise WeightsError(
                    f"the epoch under way has no arrays for loss_{addition.name}; resume from a checkpoint between two "
                    "epochs, or with the configuration that it was written with"
                )
            if loss := addition.of_epoch(epoch, num_clusters, own):
                added[addition.name] = loss
        # nothing stands between the step and an objective that is alone
        if not (added or self._prepare or self._from_bn or self._originals or self.heads > 1):
            return objective
        return partial(
            composed_loss,
            objective=partial(by_head, objective=objective, weights=self._head_weights)
            if self.heads > 1
            else objective,
            added=added,
            from_bn=self._from_bn,
            originals=self._originals,
            kept=tuple(rest),
            heads=self.heads,
        )


def composed_loss(
    features: Tensor,
    labels: np.ndarray,
    centroids: Tensor,
    degree: float,
    *,
    batch: StepBatch,
    objective: Objective,
    added: dict[str, Loss],
    from_bn: bool,
    originals: bool,
    kept: Sequence[np.ndarray] = (),
    heads: int = 1,
) -> LossTerms:
    """An objective, and the losses beside it.

    Args:
        features: (B, heads * D) rows of the network, the end of a graph of their own.
        labels: (B,) clusters.
        centroids: (C, D) unit rows.
        degree: of the PLI.
        batch: what else is known of the images.
        objective: gives the terms that are added to.
        added: losses by name.
        from_bn: see `ComposedObjective`, as `originals`.
        originals: the memory learns from the B rows alone.
        kept: arrays that the objective finds in `batch.kept`.
        heads: rows of a feature; what is added sees the first one, and all of `batch.bn`.

    Returns:
        The terms of the objective with the sum of all as their total, and "loss_NAME" of what was added in the log.
    """
    with paddle.amp.auto_cast(enable=False):  # losses are float32, whatever the network computed in
        features = features.astype("float32")
        batch = batch._replace(bn=features if from_bn else None, kept=kept)
        rows = paddle.split(features, heads, axis=1) if heads > 1 else [features]
        units = [F.normalize(row, axis=1, epsilon=1e-12) if from_bn else row for row in rows]  # (B, D) each
        unit = paddle.concat(units, axis=1) if heads > 1 else units[0]
        terms = objective(unit, labels, centroids, degree, batch=batch)
        losses = {f"loss_{name}": loss(units[0], batch) for name, loss in added.items()}
        total = sum(losses.values(), terms.total)
        logs = {**terms.logs, **{name: loss.detach() for name, loss in losses.items()}, "loss": total.detach()}
    if originals:
        terms = terms._replace(memory_features=unit.detach(), memory_labels=labels, memory_rows=None)
    return terms._replace(total=total, logs=logs)


def by_head(
    features: Tensor,
    labels: np.ndarray,
    centroids: Tensor,
    degree: float,
    *,
    batch: StepBatch,
    objective: Objective,
    weights: Sequence[float],
) -> LossTerms:
    """An objective on each of the rows that a feature consists of, with the memory of that row.

    Args:
        features: (B, heads * D).
        labels: (B,) clusters, the same for all.
        centroids: (C, heads * D).
        degree: of the PLI.
        batch: what else is known of the images.
        objective: of one row.
        weights: of the rows in the loss.

    Returns:
        The weighted sums, and for the memory the rows beside each other again.
    """
    heads = len(weights)
    parts = [paddle.split(each, heads, axis=1) for each in (features, centroids)]
    bn = [None] * heads if batch.bn is None else paddle.split(batch.bn, heads, axis=1)
    # each row has a space of its own: supports and centroids of another one mean nothing in it
    found = [
        objective(row, labels, memory, degree, batch=batch._replace(bn=own))
        for row, memory, own in zip(*parts, bn, strict=True)
    ]

    def weighted(values: Iterable[Tensor]) -> Tensor:
        return paddle.add_n([weight * value for weight, value in zip(weights, values, strict=True)])

    return found[0]._replace(
        total=weighted(terms.total for terms in found),
        logs={name: weighted(terms.logs[name] for terms in found) for name in found[0].logs},
        memory_features=paddle.concat([terms.memory_features for terms in found], axis=1),
    )
