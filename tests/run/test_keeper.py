"""When the keeper looks, saves and stops."""

import numpy as np
import paddle
import pytest

from ppreid.base.errors import Interrupted, TrainingError
from ppreid.base.records import ImageRecord
from ppreid.processes.ranks import ALONE
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import CheckpointSet
from ppreid.run.folder import LABELS, LAST, METRICS
from ppreid.run.keeper import Keeper
from ppreid.run.metrics import MetricsFile
from ppreid.run.opening import OpenRun
from ppreid.run.progress import Progress, Schedule
from ppreid.run.stop import StopSignals
from ppreid.training.finite import FiniteGuard, StepBatch
from ppreid.training.optimizer import adam_with_l2

RECORDS = tuple(ImageRecord(f"{row}.jpg", -1, 0) for row in range(4))
BEGUN = Progress().clustered(np.array([0, 0, 1, 1]), np.eye(2, dtype=np.float32))
BATCH = StepBatch(0, np.arange(4), np.array([0, 0, 1, 1]))


@pytest.fixture
def kept(tmp_path):
    """Builds a keeper of a run of two epochs; gives it and what hears its signals."""

    def build(*, log_steps=50, save_steps=0, iters=6):
        model = paddle.nn.Linear(2, 2)
        optimizer, stop = adam_with_l2(model, lr=0.1, weight_decay=0.0), StopSignals()
        checkpoints = CheckpointSet(
            tmp_path,
            model,
            optimizer,
            every=0,
            keep=0,
            every_steps=save_steps,
            beginning=None,
            fallback=None,
            config={},
            images={"count": 4},
        )
        keeper = Keeper(
            OpenRun(tmp_path, ALONE, stop),
            RECORDS,
            schedule=Schedule(2, iters, lambda step: 0.1, lambda step: 0.0, log_steps),
            checkpoints=checkpoints,
            metrics=MetricsFile(tmp_path / METRICS),
            guard=FiniteGuard(lambda batch, values: f"step_{batch.step}.json"),
        )
        keeper.start(model, optimizer, lambda model, **settings: None)
        return keeper, stop

    return build


def step(progress, loss=1.0):
    return progress.stepped({"loss": paddle.to_tensor(loss)}, paddle.to_tensor(np.eye(2, dtype=np.float32)))


def saved(tmp_path):
    return read_checkpoint(tmp_path / LAST).progress


def test_a_checkpoint_comes_every_few_steps_but_not_after_the_last(kept, tmp_path):
    keeper, _ = kept(save_steps=2)
    progress, seen = BEGUN, []
    for _ in range(6):
        progress = step(progress)
        keeper.step_done(progress)
        seen.append(saved(tmp_path).steps)
    assert seen == [0, 2, 2, 4, 4, 4]  # the end of the epoch saves anyway, and nothing long comes before
    after = keeper.epoch_done(progress, None)
    assert (saved(tmp_path).epoch, saved(tmp_path).steps, after.epoch) == (1, 0, 1)


def test_a_signal_saves_after_the_step_and_ends_the_run(kept, tmp_path):
    keeper, stop = kept()
    keeper.step_done(progress := step(BEGUN))
    stop.request(15)
    with pytest.raises(Interrupted):
        keeper.step_done(step(progress))
    assert saved(tmp_path).steps == 2


def test_labels_are_shown_from_the_first_step_of_an_epoch_on(kept, tmp_path):
    keeper, _ = kept()
    assert not (tmp_path / LABELS).exists()
    keeper.step_done(step(BEGUN))
    assert (tmp_path / LABELS).read_text().splitlines()[1:] == ["0.jpg,0", "1.jpg,0", "2.jpg,1", "3.jpg,1"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(("settings", "found_after"), [({"log_steps": 2}, 2), ({"save_steps": 1}, 1), ({}, 6)])
def test_a_loss_that_is_not_finite_is_found_before_anything_saves_it(kept, tmp_path, bad, settings, found_after):
    keeper, _ = kept(**settings)
    progress, steps = BEGUN, 0
    with pytest.raises(TrainingError, match=r"^loss became NaN or infinite at step 0, whose images are .*step_0\.json"):
        for _ in range(6):
            keeper.guard.accepts(BATCH, {"loss": paddle.to_tensor(bad), "gradient": paddle.to_tensor(1.0)})
            progress, steps = step(progress, bad), steps + 1
            keeper.step_done(progress)
    assert steps == found_after
    assert saved(tmp_path).steps == 0


def test_losses_are_read_from_the_device_only_every_few_steps(kept, monkeypatch):
    keeper, _ = kept(log_steps=3)
    keeper.step_done(step(BEGUN))  # writes labels.csv
    reads = []

    def counting(real):
        def counted(self, *args):
            reads.append(1)
            return real(self, *args)

        return counted

    for name in ("item", "numpy"):
        monkeypatch.setattr(paddle.Tensor, name, counting(getattr(paddle.Tensor, name)))
    progress = step(BEGUN)
    for _ in range(4):
        keeper.guard.accepts(BATCH, {"loss": paddle.to_tensor(1.0), "gradient": paddle.to_tensor(1.0)})
        progress = step(progress)
        keeper.step_done(progress)
    assert len(reads) == 1  # after the third step; steps 2, 4 and 5 wait for nothing
