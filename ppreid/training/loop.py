"""The method, for real: cluster, train, evaluate; again and again.

Symbols: N training images, D dimensions of a feature, C clusters, B images of a batch.

Reference:
    Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, section 3.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import nn

from ppreid.base.progress import progress as show
from ppreid.base.records import ReIDSplit, ids
from ppreid.contracts import Clusterer, Distance, RunObjective, StepBatch, Twin
from ppreid.datasets.loader import TrainLoader
from ppreid.evaluation.ranking import RankingResult
from ppreid.ise.memory import ClusterMemory
from ppreid.run.keeper import Keeper
from ppreid.run.progress import Progress, Schedule
from ppreid.training.finite import FiniteGuard
from ppreid.training.pseudo_labels import assign_pseudo_labels
from ppreid.training.step import Forward, training_step


class Method(NamedTuple):
    """What there is to choose in the method.

    Attributes:
        distance: epoch, from 0 -> distance between images.
        clusterer: distances -> pseudo labels, at least one cluster.
        memory: how the steps move the memory: the arguments of `ClusterMemory` behind its centroids.
        objective: what the steps minimise, and what of it lasts from one epoch to the next.
        schedule: steps, learning rates and PLI degrees.
        forward: from the images of a step to the features of its whole batch; None: the network, once.
        twins: networks that follow the one that is trained, and are evaluated beside it.
    """

    distance: Callable[[int], Distance]
    clusterer: Clusterer
    memory: Mapping[str, Any]
    objective: RunObjective
    schedule: Schedule
    forward: Forward | None = None
    twins: Sequence[Twin] = ()


def train(
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    split: ReIDSplit,
    loader: TrainLoader,
    *,
    extract: Callable[[nn.Layer], np.ndarray],
    evaluate: Callable[[nn.Layer], RankingResult | None],
    method: Method,
    keeper: Keeper[FiniteGuard],
) -> Progress:
    """Train a network on images whose identities are unknown, and evaluate it now and then.

    Args:
        model: images (B, 3, H, W) to unit features (B, D).
        optimizer: over its parameters.
        split: the data set; the identities of its training part are not read.
        loader: batches of identities x images, drawn from pseudo labels.
        extract: network to features (N, D) of the training part.
        evaluate: network to result on query and gallery.
        method: what there is to choose.
        keeper: keeps the run alive; it decides whether the run begins or goes on, also in the middle of an epoch.

    Returns:
        Where the run is at its end.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
        Interrupted: a signal came; what was done is saved.
    """
    schedule, stage, (_, camids) = method.schedule, keeper.stage, ids(split.train)
    progress = keeper.start(model, optimizer, evaluate)
    for epoch in range(progress.epoch, schedule.epochs):
        if not progress.has_labels:
            with stage("extract"):
                features = extract(model)  # (N, D)
            cluster = partial(assign_pseudo_labels, features, camids, distance=method.distance(epoch))
            cluster = partial(cluster, clusterer=method.clusterer, objective=method.objective)
            progress = progress.clustered(*keeper.shared(cluster))
            method.objective.begin(progress.centroids)
        labels = progress.labels  # (N,), -1 for outliers, which no batch contains

        # C changes with every clustering, so nothing that has C rows outlives an epoch; the optimizer's moments do
        memory = ClusterMemory(progress.centroids, **method.memory)  # (C, D)
        objective = method.objective.of_epoch(epoch, memory.centroids.shape[0], progress.kept)
        # an epoch is a number of steps, not a pass over the images: clusters differ too much in size for one
        batches = loader.epoch(labels, epoch, start_batch=progress.steps)
        steps = schedule.steps(epoch, progress.steps)
        model.train()
        with stage("train", at_once=False):
            shown = show(batches, total=len(steps), description="train")
            for step, (images, rows) in zip(steps, shown, strict=True):
                optimizer.set_lr(schedule.learning_rate(step))
                # the degree grows over the whole run: the later it is, the more the clusters can be trusted
                batch = StepBatch(step, rows, labels[rows], schedule.pli_degree(step), camids[rows])
                losses = training_step(
                    model, memory, images, batch, optimizer, objective, forward=method.forward, guard=keeper.guard
                )
                for twin in method.twins if losses else ():  # a step that is left out moves nothing
                    twin.follow(images)
                progress = progress.stepped(losses, memory.centroids)
                keeper.step_done(progress)

        results: list[RankingResult | None] = []
        if schedule.evaluates(epoch):
            with stage("evaluate"):
                results = [evaluate(network) for network in (model, *(twin.network for twin in method.twins))]
        progress = keeper.epoch_done(progress, *results)
    keeper.finish(progress)
    return progress
