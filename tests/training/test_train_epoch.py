import numpy as np
import paddle
import pytest

from ppreid.base.errors import TrainingError
from ppreid.ise.objective import LossTerms
from ppreid.training.finite import FiniteGuard
from ppreid.training.optimizer import adam_with_l2
from ppreid.training.train import EpochProgress, Schedule, train_epoch


class CountingMemory:
    """Remembers what it was given, and moves its only centroid by one at every update."""

    def __init__(self):
        self.centroids = paddle.zeros([1, 1])
        self.labels = []

    def update(self, features, labels):
        self.labels.append(labels)
        self.centroids = self.centroids + 1


def guard():
    return FiniteGuard(lambda batch, values: f"step_{batch.step}.json")


def run(objective, *, steps=4, first=10, log_every=2):
    model = paddle.nn.Linear(1, 1)
    memory = CountingMemory()
    batches = [(paddle.full([2, 1], 1.0), np.array([step, step + 1])) for step in range(steps)]
    schedule = Schedule(range(first, first + steps), lambda step: 1e-3 * step, lambda step: 0.01 * step)
    optimizer = adam_with_l2(model, lr=1.0, weight_decay=0.0)
    labels = np.arange(steps + 1) * 10
    done = EpochProgress()
    arguments = (model, memory, batches, labels, optimizer, objective, schedule, done)
    train_epoch(*arguments, guard=guard(), log_every=log_every)
    return done.means(), memory, optimizer


def test_a_step_sees_the_memory_of_the_step_before_and_updates_it_once():
    seen = []

    def objective(features, labels, centroids, degree):
        seen.append((labels.tolist(), centroids.item(), round(degree, 10)))
        total = features.sum()
        return LossTerms(total, {"loss": total.detach() * 0 + len(seen)}, features.detach(), labels)

    means, memory, optimizer = run(objective)
    assert seen == [([0, 10], 0.0, 0.1), ([10, 20], 1.0, 0.11), ([20, 30], 2.0, 0.12), ([30, 40], 3.0, 0.13)]
    assert [labels.tolist() for labels in memory.labels] == [labels for labels, _, _ in seen]
    assert means == {"loss": pytest.approx(2.5)}  # mean of 1, 2, 3, 4
    assert optimizer.get_lr() == pytest.approx(13e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("bad_step", [0, 3])
def test_a_loss_that_is_not_finite_stops_the_epoch_at_the_next_reading(bad, bad_step):
    steps = []

    def objective(features, labels, centroids, degree):
        total = features.sum() * (bad if len(steps) == bad_step else 1.0)
        steps.append(1)
        return LossTerms(total, {"loss": total.detach()}, features.detach(), labels)

    step = 10 + bad_step
    with pytest.raises(TrainingError, match=rf"^loss, gradient became NaN .* at step {step}, .* in step_{step}\.json"):
        run(objective)
    assert len(steps) == (2 if bad_step == 0 else 4)


def test_losses_are_read_from_the_device_only_every_log_every_steps(monkeypatch):
    reads = []

    def counting(real):
        def counted(self, *args):
            reads.append(1)
            return real(self, *args)

        return counted

    def objective(features, labels, centroids, degree):
        total = features.sum()
        return LossTerms(total, {"loss": total.detach()}, features.detach(), labels)

    for name in ("item", "numpy"):
        monkeypatch.setattr(paddle.Tensor, name, counting(getattr(paddle.Tensor, name)))
    run(objective, steps=6, log_every=3)
    assert len(reads) == 3  # after steps 3 and 6, and once for the mean


def test_too_few_batches_are_an_error():
    def objective(features, labels, centroids, degree):
        return LossTerms(features.sum(), {}, features.detach(), labels)

    with pytest.raises(ValueError, match="shorter"):
        train_epoch(
            paddle.nn.Linear(1, 1),
            CountingMemory(),
            [],
            np.zeros(1),
            None,
            objective,
            Schedule(range(1), float, float),
            EpochProgress(),
            guard=guard(),
            log_every=1,
        )


def test_a_pause_returns_after_the_step_and_the_next_call_goes_on():
    def objective(features, labels, centroids, degree):
        return LossTerms(features.sum(), {"loss": paddle.to_tensor(100 * degree)}, features.detach(), labels)

    model, memory, done = paddle.nn.Linear(1, 1), CountingMemory(), EpochProgress()
    batches = iter([(paddle.full([2, 1], 1.0), np.array([row, row + 1])) for row in range(5)])
    schedule = Schedule(range(10, 15), lambda step: 1e-3, lambda step: 0.01 * step)
    optimizer = adam_with_l2(model, lr=1.0, weight_decay=0.0)
    pauses = []
    while done.steps < 5:
        arguments = (model, memory, batches, np.arange(6), optimizer, objective, schedule, done)
        train_epoch(*arguments, guard=guard(), log_every=50, pause=lambda: done.steps % 2 == 0)
        pauses.append(done.steps)
    assert pauses == [2, 4, 5]
    assert [labels.tolist() for labels in memory.labels] == [[row, row + 1] for row in range(5)]
    assert done.means() == {"loss": pytest.approx((10 + 11 + 12 + 13 + 14) / 5)}

    copy = EpochProgress(done.steps, {name: value.numpy() for name, value in done.sums.items()})
    assert copy.means() == done.means()


def test_a_loss_that_is_not_finite_is_found_before_a_pause_can_save_it():
    def objective(features, labels, centroids, degree):
        total = features.sum() * float("nan")
        return LossTerms(total, {"loss": total.detach()}, features.detach(), labels)

    model = paddle.nn.Linear(1, 1)
    with pytest.raises(TrainingError, match="step 0"):
        train_epoch(
            model,
            CountingMemory(),
            [(paddle.full([2, 1], 1.0), np.array([0, 1]))] * 2,
            np.arange(2),
            adam_with_l2(model, lr=1.0, weight_decay=0.0),
            objective,
            Schedule(range(2), float, float),
            EpochProgress(),
            guard=guard(),
            log_every=50,
            pause=lambda: True,
        )
