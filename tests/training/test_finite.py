"""Steps whose numbers are not finite."""

import json
import math

import numpy as np
import paddle
import pytest

from ppreid.base.errors import PpreidWarning, TrainingError
from ppreid.ise.memory import ClusterMemory, update_hard
from ppreid.ise.objective import LossTerms
from ppreid.training.finite import FiniteGuard, StepBatch, write_nonfinite_batch
from ppreid.training.optimizer import INITIAL_SCALE, LossScale, adam_with_l2
from ppreid.training.step import training_step

BATCH = StepBatch(6, np.array([4, 2]), np.array([1, 0]))


def scalars(*values):
    return dict(zip(("features", "loss", "gradient"), map(paddle.to_tensor, values), strict=True))


@pytest.fixture
def reported():
    return []


@pytest.fixture
def guard(reported):
    def make(**settings):
        def report(batch, values):
            reported.append((batch.step, [name for name, value in values.items() if not math.isfinite(value)]))
            return "batch.json"

        return FiniteGuard(report, **settings)

    return make


def test_the_first_bad_step_is_named_though_it_is_read_later(guard, reported):
    watch = guard()
    for step in range(5):
        bad = float("inf") if step >= 3 else 1.0
        assert watch.accepts(BATCH._replace(step=step), scalars(1.0, bad, 0.0))
    assert reported == []
    with pytest.raises(TrainingError, match=r"loss became NaN or infinite at step 3, whose images are .* batch\.json"):
        watch.check()
    assert reported == [(3, ["loss"])]


def test_nothing_is_read_twice(guard):
    watch = guard()
    watch.accepts(BATCH, scalars(1.0, 1.0, 1.0))
    assert watch.check() and watch.check()


def test_at_most_so_many_steps_are_left_out_in_a_run(guard, reported):
    watch = guard(may_skip=True, max_skips=2)
    nan = scalars(1.0, 1.0, float("nan"))
    with pytest.warns(PpreidWarning, match="1 of at most 2 in a run"):
        assert not watch.accepts(BATCH, nan)
    assert watch.accepts(BATCH, scalars(1.0, 1.0, 1.0))
    resumed = guard(may_skip=True, max_skips=2)
    resumed.restore(watch.state())
    with pytest.warns(PpreidWarning, match="2 of at most 2 in a run"):
        assert not resumed.accepts(BATCH, nan)
    with pytest.raises(TrainingError, match=r"2 steps of this run were left out before, and solver\.max_nonfinite"):
        resumed.accepts(BATCH, nan)
    assert reported == [(6, ["gradient"])] * 3


def test_a_float16_overflow_halves_the_scale_and_is_no_fault(guard, reported):
    watch = guard(scale=LossScale(is_dynamic=True))
    assert not watch.accepts(BATCH, scalars(1.0, 1.0, float("inf")))
    assert (watch.scale.value, watch.overflows, watch.skipped, reported) == (INITIAL_SCALE / 2, 1, 0, [])
    resumed = guard(scale=LossScale(is_dynamic=True))
    resumed.restore(watch.state())
    assert resumed.state() == watch.state()


def test_a_loss_that_is_not_finite_is_a_fault_also_with_float16(guard):
    watch = guard(scale=LossScale(is_dynamic=True))
    with pytest.raises(TrainingError, match="loss, gradient became"):
        watch.accepts(BATCH, scalars(1.0, float("nan"), float("nan")))


def test_a_gradient_that_overflows_at_any_scale_is_a_fault(guard):
    watch = guard(scale=LossScale(is_dynamic=True))
    watch.scale.value = 1.0
    with pytest.raises(TrainingError, match="gradient became"):
        watch.accepts(BATCH, scalars(1.0, 1.0, float("inf")))


def test_the_file_names_the_images_and_the_numbers(tmp_path):
    paths = [f"{row}\u4eba.jpg" for row in range(5)]
    values = {"loss": float("nan"), "gradient": 0.5}
    path = write_nonfinite_batch(BATCH, values, folder=tmp_path, image_paths=paths)
    assert path.name == "nonfinite_step_000006.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "step": 6,
        "values": {"loss": "nan", "gradient": "0.5"},
        "images": [{"path": "4\u4eba.jpg", "row": 4, "cluster": 1}, {"path": "2\u4eba.jpg", "row": 2, "cluster": 0}],
    }


def objective(features, labels, centroids, degree, *, batch):
    total = (features**2).sum()
    return LossTerms(total, {"loss": total.detach()}, features.detach(), labels)


def everything(model, optimizer, memory):
    moments = {f"moment {key}": value for key, value in optimizer.state_dict().items() if hasattr(value, "numpy")}
    state = {**model.state_dict(), **moments, "memory": memory.centroids}
    return {name: value.numpy().copy() for name, value in state.items()}


@pytest.mark.parametrize("fault", ["features=2:nan", "loss=2:inf", "loss=2:nan", "gradient=2:inf", "gradient=2:nan"])
@pytest.mark.parametrize("is_float16", [False, True])
def test_a_step_that_is_left_out_changes_nothing_and_the_next_one_goes_on(guard, fault_module, fault, is_float16):
    paddle.seed(0)
    model = paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.BatchNorm1D(4), paddle.nn.Linear(4, 2))
    optimizer = adam_with_l2(model, lr=0.1, weight_decay=0.0)
    memory = ClusterMemory(np.eye(2, dtype=np.float32), update_hard, 0.5)
    watch = guard(may_skip=True, max_skips=1, scale=LossScale(is_dynamic=is_float16))
    images = paddle.rand([4, 3])

    def step(number):
        batch = StepBatch(number - 1, np.arange(4), np.array([0, 0, 1, 1]))
        return spoiled_step(model, memory, images, batch, optimizer, objective, guard=watch)

    spoiled_step = fault_module.Faults(fault).around_step(training_step)
    assert step(1).keys() == {"loss"}
    before = everything(model, optimizer, memory)
    if is_float16 and fault.startswith("gradient"):
        assert step(2) == {}
    else:
        with pytest.warns(PpreidWarning, match=fault.partition("=")[0]):
            assert step(2) == {}
    after = everything(model, optimizer, memory)
    assert before.keys() == after.keys() and len(before) > 15
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert step(3).keys() == {"loss"}
    moved = everything(model, optimizer, memory)
    assert all(np.isfinite(value).all() for value in moved.values())
    assert (moved["0.weight"] != before["0.weight"]).any() and (moved["memory"] != before["memory"]).any()


def test_a_resumed_run_counts_its_good_steps_on():
    guard, resumed = (FiniteGuard(None, scale=LossScale(is_dynamic=True)) for _ in range(2))
    for _ in range(7):
        guard.scale.count_step()
    assert guard.scale.shrink()
    for _ in range(3):
        guard.scale.count_step()
    resumed.restore(guard.state())
    assert (resumed.scale.value, resumed.scale.steps) == (guard.scale.value, 3)
