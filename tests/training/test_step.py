"""One training step, whole and in parts."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.ise.memory import ClusterMemory, update_sequential
from ppreid.ise.objective import LossTerms, ise_objective
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet
from ppreid.training import step
from ppreid.training.finite import FiniteGuard, StepBatch
from ppreid.training.optimizer import INITIAL_SCALE, LossScale
from ppreid.training.step import all_ranks, micro_batches, training_step, whole_batch

CLUSTERS, PER_CLUSTER, STEPS = 4, 4, 3


def no_report(batch, values):
    raise AssertionError(f"{batch} {values}")


def network(bn_chunks):
    return ReIDNet(resnet(18, base_width=8), embedding_dim=16, bn_chunks=bn_chunks)


@pytest.fixture(scope="module")
def start():
    paddle.seed(0)
    return {name: value.numpy() for name, value in network(1).state_dict().items()}


def run(start, *, bn_chunks, parts):
    """Losses, gradients of the first step, then weights, statistics and memory after some steps."""
    model = network(bn_chunks // parts)
    model.set_state_dict(start)
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal([CLUSTERS + 2, 16]).astype(np.float32)
    memory = ClusterMemory(centroids / np.linalg.norm(centroids, axis=1, keepdims=True), update_sequential, 0.2)
    optimizer = paddle.optimizer.SGD(1e-3, parameters=model.parameters())
    gradients, losses = {}, []
    real_step = optimizer.step

    def step():
        if not gradients:
            gradients.update({name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None})
        real_step()

    optimizer.step = step
    for number in range(STEPS):
        # parts of different brightness: normalising them together, or in another order, cannot go unnoticed
        images = rng.standard_normal([CLUSTERS * PER_CLUSTER, 3, 48, 32]) + 0.2 * np.arange(16).reshape(-1, 1, 1, 1)
        logs = training_step(
            model,
            memory,
            paddle.to_tensor(images.astype(np.float32)),
            StepBatch(number, np.arange(16), np.repeat(rng.permutation(CLUSTERS + 2)[:CLUSTERS], PER_CLUSTER), 0.2),
            optimizer,
            ise_objective,
            forward=partial(micro_batches, parts=parts) if parts > 1 else None,
            guard=FiniteGuard(no_report),
        )
        losses.append([logs[name].item() for name in ("loss", "loss_contrast", "loss_lp")])
    return losses, gradients, {name: v.numpy() for name, v in model.state_dict().items()}, memory.centroids.numpy()


@pytest.mark.parametrize("parts", [2, 4])
def test_a_step_in_parts_is_the_step_on_the_whole_batch(start, parts):
    losses, gradients, state, centroids = run(start, bn_chunks=4, parts=1)
    found_losses, found_gradients, found_state, found_centroids = run(start, bn_chunks=4, parts=parts)
    np.testing.assert_allclose(found_losses[0], losses[0], rtol=1e-5)
    np.testing.assert_allclose(found_losses, losses, rtol=1e-4)  # rounding grows from step to step
    assert found_gradients.keys() == gradients.keys() and len(gradients) > 50
    for name, wanted in gradients.items():
        np.testing.assert_allclose(
            found_gradients[name], wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max() + 1e-7, err_msg=name
        )
    for name, wanted in state.items():
        np.testing.assert_allclose(found_state[name], wanted, rtol=1e-3, atol=1e-4, err_msg=name)
        is_constant = name == "neck.bias"
        assert is_constant or np.abs(wanted - start[name]).max() > 0, f"{name} did not move"
    np.testing.assert_allclose(found_centroids, centroids, atol=1e-3)


def test_the_whole_batch_is_one_pass_and_parts_are_two():
    calls = []

    def model(images):
        calls.append(images.shape[0])
        return images * weight

    model.sublayers = lambda include_self: []
    weight = paddle.to_tensor([2.0], stop_gradient=False)
    images = paddle.arange(1, 5, dtype="float32").reshape([4, 1])
    for forward, expected in (
        (whole_batch, [4]),
        (partial(micro_batches, parts=1), [4]),
        (partial(micro_batches, parts=2), [2] * 4),
    ):
        calls.clear()
        weight.clear_gradient()
        features, backward = forward(model, images)
        features.stop_gradient = False
        assert features.numpy().ravel().tolist() == [2.0, 4.0, 6.0, 8.0]
        (features * paddle.to_tensor([[1.0], [10.0], [100.0], [1000.0]])).sum().backward()
        assert weight.grad is None or not weight.grad.any().item()  # the graph is cut at the features
        backward(features.grad)
        assert weight.grad.item() == 1 + 20 + 300 + 4000
        assert calls == expected


def test_a_batch_that_cannot_be_split_says_which_key_to_change():
    with pytest.raises(ConfigError, match=r"batch of 3 images .* batch\.accumulate=2"):
        micro_batches(paddle.nn.Linear(1, 1), paddle.zeros([3, 1]), parts=2)


def test_the_memory_is_updated_after_the_gradient_with_what_the_objective_gives():
    model = paddle.nn.Linear(1, 1, bias_attr=False)
    model.weight.set_value(np.float32([[1.0]]))
    order = []

    class Memory:
        centroids = paddle.zeros([1, 1])

        def update(self, features, labels, batch):
            seen = (features.item(), labels.tolist(), batch.indices.tolist(), batch.camids.tolist())
            order.append((*seen, round(model.weight.item(), 3)))

    def objective(features, labels, centroids, degree, *, batch):
        assert batch.degree == degree and batch.labels is labels
        total, of_rows = features.sum(), np.array([1])
        return LossTerms(total * degree, {"loss": total.detach()}, paddle.to_tensor([7.0]), labels + 1, of_rows)

    optimizer = paddle.optimizer.SGD(0.5, parameters=model.parameters())
    batch = StepBatch(0, np.array([5, 6]), np.array([0, 1]), 0.1, np.array([3, 2]))
    guard = FiniteGuard(no_report)
    images = paddle.ones([2, 1])
    logs = training_step(model, Memory(), images, batch, optimizer, objective, guard=guard)
    assert logs["loss"].item() == 2.0
    assert order == [(7.0, [1, 2], [6], [2], 0.9)]  # weight 1 - 0.5 * 2 * 0.1
    assert model.weight.grad is None or model.weight.grad.item() == 0


def one_weight(value=1.0):
    model = paddle.nn.Linear(1, 1, bias_attr=False)
    model.weight.set_value(np.float32([[value]]))
    return model


class NoMemory:
    centroids = paddle.zeros([1, 1])

    def update(self, features, labels, batch):
        pass


def sum_of_features(features, labels, centroids, degree, *, batch):
    return LossTerms(features.sum(), {"loss": features.sum().detach()}, features.detach(), labels)


def test_the_scale_of_the_loss_reaches_the_gradient_and_not_the_weights():
    model, reached, scale = one_weight(), [], LossScale(is_dynamic=True)
    real = scale.unscale

    def unscale(parameters):
        reached.append(model.weight.grad.item())
        real(parameters)

    scale.unscale = unscale
    optimizer = paddle.optimizer.SGD(0.5, parameters=model.parameters())
    batch, guard = StepBatch(0, np.arange(2), np.zeros(2, np.int64), 0.0), FiniteGuard(no_report, scale=scale)
    training_step(model, NoMemory(), paddle.ones([2, 1]), batch, optimizer, sum_of_features, guard=guard)
    assert reached == [2 * INITIAL_SCALE]
    assert model.weight.item() == 0.0  # 1 - 0.5 * 2


def test_a_step_that_is_left_out_leaves_running_statistics_as_they_were(tmp_path):
    model = network(1)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optimizer = paddle.optimizer.SGD(0.5, parameters=model.parameters())
    guard = FiniteGuard(lambda batch, values: tmp_path / "step.json", may_skip=True, max_skips=1)
    images = paddle.rand([4, 3, 32, 16])
    images[1] = float("nan")
    batch = StepBatch(0, np.arange(4), np.zeros(4, np.int64), 0.0)
    with pytest.warns(PpreidWarning, match="the step is left out"):
        assert training_step(model, NoMemory(), images, batch, optimizer, sum_of_features, guard=guard) == {}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)


def test_a_rank_answers_for_its_own_rows_of_the_gradient(monkeypatch):
    monkeypatch.setattr(step, "batch_of_all", lambda features, ranks: paddle.concat([features] * ranks.count))
    monkeypatch.setattr(step, "sum_gradients", lambda parameters, ranks: summed.append(parameters))
    answered, summed = [], []
    ranks = SimpleNamespace(rank=1, count=3)
    # what the objective calls has the gradient of the whole batch on every rank already
    named = [("neck.weight", "own"), ("auxiliary.weight", "whole")]
    model = SimpleNamespace(named_parameters=lambda: named)
    features, backward = all_ranks(
        model, paddle.ones([2, 1]), own=lambda model, images: (images, answered.append), ranks=ranks
    )
    assert features.shape == [6, 1]
    backward(paddle.arange(6, dtype="float32").reshape([6, 1]))
    assert [gradient.numpy().ravel().tolist() for gradient in answered] == [[2.0, 3.0]]
    assert summed == [["own"]]
