"""The loop: what is called, in which order, with what."""

from contextlib import contextmanager

import numpy as np
import paddle
import pytest

from ppreid.base.progress import Stopwatch
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.ise.objective import LossTerms
from ppreid.run.progress import Progress, Schedule
from ppreid.training import loop
from ppreid.training.finite import FiniteGuard
from ppreid.training.optimizer import adam_with_l2

RECORDS = tuple(ImageRecord(f"{row}.jpg", -1, row % 2) for row in range(6))
LABELS = np.array([0, 0, 1, 1, -1, 0])
CENTROIDS = np.float32([[1, 0], [0, 1]])
KEPT = np.array([7])
BEGINNING = Progress()


class Keeper:
    """Keeps nothing; notes what it is told."""

    def __init__(self, progress=BEGINNING):
        self.watch, self.guard = Stopwatch(), FiniteGuard(lambda batch, values: f"step_{batch.step}.json")
        self.told, self._progress = [], progress

    def start(self, model, optimizer, evaluate):
        self.told.append("start")
        return self._progress

    def step_done(self, progress):
        self.told.append(("step", progress.epoch, progress.steps))

    def epoch_done(self, progress, result=None):
        self.told.append(("epoch", progress.epoch, result))
        return progress.finished(progress.history)

    def finish(self, progress):
        self.told.append("finish")

    @contextmanager
    def stage(self, name, *, at_once=True):
        assert at_once == (name != "train"), "a step is never broken off"
        self.told.append(name)
        with self.watch.stage(name):
            yield

    def shared(self, compute):
        return compute(stopwatch=self.watch)


class Objective:
    """Notes when an epoch begins, and is the same in all of them."""

    heads = 1

    def __init__(self, function, told):
        self._function, self._told = function, told

    def begin(self, centroids):
        assert centroids is CENTROIDS
        self._told.append("begin")

    def of_epoch(self, epoch, num_clusters, kept):
        assert num_clusters == 2
        self._told.append(("objective", epoch, [array.tolist() for array in kept]))
        return self._function


class Loader:
    """Batches of rows 0 to 3, without images."""

    def __init__(self, iters):
        self._iters = iters
        self.asked = []

    def epoch(self, labels, epoch, *, start_batch):
        self.asked.append((epoch, start_batch))
        return iter([(paddle.full([4, 1], 1.0), np.arange(4))] * (self._iters - start_batch))


@pytest.fixture
def run(monkeypatch):
    """Runs the loop with a linear layer as network; gives progress, loader, what the parts saw, and optimizer."""

    def run(keeper, *, epochs=2, iters=3, given=None):
        seen, moved = [], []

        def objective(features, labels, centroids, degree, *, batch):
            assert model.training
            assert (batch.indices.tolist(), batch.camids.tolist()) == ([0, 1, 2, 3], [0, 1, 0, 1])
            assert batch.labels is labels
            seen.append((labels.tolist(), centroids.numpy().tolist(), round(degree, 10)))
            total = features.sum()
            return LossTerms(total, {"loss": paddle.to_tensor(float(len(seen)))}, features.detach(), labels)

        def update(centroids, features, labels, *, momentum):
            moved.append((labels.tolist(), momentum))
            return centroids + 1.0

        def assign(features, camids, **settings):
            assert features.shape == (6, 2) and camids.tolist() == [0, 1, 0, 1, 0, 1]
            keeper.told.append("cluster")
            run.distances.append(settings["distance"])
            return LABELS, CENTROIDS, KEPT

        def extract(model):
            model.eval()  # as every extraction does
            return np.zeros((6, 2), np.float32)

        monkeypatch.setattr(loop, "assign_pseudo_labels", assign)
        model = paddle.nn.Linear(1, 2)
        optimizer, loader = adam_with_l2(model, lr=1.0, weight_decay=0.0), Loader(iters if given is None else given)
        method = loop.Method(
            distance=lambda epoch: f"distance of epoch {epoch}",
            clusterer=None,
            memory={"update": update, "momentum": 0.25},
            objective=Objective(objective, keeper.told),
            schedule=Schedule(epochs, iters, lambda step: 1e-3 * (step + 1), lambda step: 0.01 * step, 50, 2),
        )
        progress = loop.train(
            model,
            optimizer,
            ReIDSplit(RECORDS, (), ()),
            loader,
            extract=extract,
            evaluate=lambda model: "result",
            method=method,
            keeper=keeper,
        )
        return progress, loader, seen, moved, optimizer

    run.distances = []
    return run


def test_every_epoch_has_its_own_distance(run):
    run(Keeper(), epochs=3)
    assert run.distances == [f"distance of epoch {epoch}" for epoch in range(3)]


def test_an_epoch_is_extracted_clustered_trained_and_now_and_then_evaluated(run):
    keeper = Keeper()
    progress, loader, _, _, optimizer = run(keeper)
    steps = [[("step", epoch, step) for step in (1, 2, 3)] for epoch in (0, 1)]
    begins = [["begin", ("objective", epoch, [[7]])] for epoch in (0, 1)]
    first = ["start", "extract", "cluster", *begins[0], "train", *steps[0], ("epoch", 0, None)]
    second = ["extract", "cluster", *begins[1], "train", *steps[1], "evaluate", ("epoch", 1, "result")]
    assert keeper.told == [*first, *second, "finish"]
    assert (progress.epoch, progress.has_labels, progress.previous.tolist()) == (2, False, LABELS.tolist())
    assert loader.asked == [(0, 0), (1, 0)]
    assert optimizer.get_lr() == pytest.approx(6e-3)
    assert "train" in keeper.watch.seconds


def test_a_step_sees_the_memory_of_the_step_before_and_the_degree_of_the_whole_run(run):
    _, _, seen, moved, _ = run(Keeper())
    assert [labels for labels, _, _ in seen] == [[0, 0, 1, 1]] * 6
    assert [centroids[0][0] for _, centroids, _ in seen] == [1, 2, 3, 1, 2, 3]  # a memory of its own in every epoch
    assert [degree for _, _, degree in seen] == [0, 0.01, 0.02, 0.03, 0.04, 0.05]
    assert moved == [([0, 0, 1, 1], 0.25)] * 6


def test_an_epoch_under_way_goes_on_without_clustering(run):
    sums = {"loss": paddle.to_tensor(10.0)}
    begun = Progress(epoch=1).clustered(LABELS, CENTROIDS + 5, KEPT + 1)._replace(steps=2, sums=sums)
    keeper = Keeper(begun)
    _, loader, seen, _, _ = run(keeper)
    rest = ["train", ("step", 1, 3), "evaluate", ("epoch", 1, "result"), "finish"]
    assert keeper.told == ["start", ("objective", 1, [[8]]), *rest], "what has begun does not begin again"
    assert loader.asked == [(1, 2)]
    assert seen == [([0, 0, 1, 1], (CENTROIDS + 5).tolist(), 0.05)]


def test_a_run_that_is_done_does_nothing(run):
    keeper = Keeper(Progress(epoch=2))
    run(keeper)
    assert keeper.told == ["start", "finish"]


def test_too_few_batches_are_an_error(run):
    with pytest.raises(ValueError, match="shorter"):
        run(Keeper(), given=2)


def test_progress_is_returned_and_never_changed():
    before = Progress(epoch=3).clustered(LABELS, CENTROIDS)
    loss = {"loss": paddle.to_tensor(2.0)}
    after = (
        before.stepped(loss, paddle.to_tensor(CENTROIDS)).stepped({}, paddle.to_tensor(CENTROIDS)).stepped(loss, None)
    )
    assert (before.steps, before.skipped, before.sums) == (0, 0, {})
    assert (after.steps, after.skipped, after.means()) == (3, 1, {"loss": 2.0})
    done = after.finished(({"epoch": 4},))
    assert (done.epoch, done.steps, done.sums, done.has_labels) == (4, 0, {}, False)
    assert done.previous is LABELS and done.history == ({"epoch": 4},)
