"""Refined labels: who is near, what the head predicts for them, the loss, and three steps of the released trainer."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ppreid.base.errors import ClusteringError, WeightsError
from ppreid.contracts import Clustering, StepBatch
from ppreid.ise.composed import ComposedObjective
from ppreid.ise.memory import ClusterMemory, update_sequential
from ppreid.ise.neighbour_graph import csr_arrays, kept_csr, neighbour_graph
from ppreid.ise.objective import ise_objective
from ppreid.ise.refine import RefineHead, Refinement, head_logits, neighbour_targets, soft_cross_entropy
from ppreid.models.batch_norm import FrozenBiasBatchNorm
from ppreid.training.finite import FiniteGuard
from ppreid.training.optimizer import adam_with_l2
from ppreid.training.step import training_step

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
GOLDEN, STEPS = (np.load(GOLDENS / f"{name}.npz") for name in ("ncplr", "ncplr_steps"))
CASES = json.loads(str(GOLDEN["meta"]))["cases"]


def stored(distances, beyond=2.0):
    """A dense matrix (N, N) as a sparse one, a diagonal of 0 included."""
    rows, columns = np.nonzero(distances <= beyond)
    return csr_matrix((distances[rows, columns], (rows, columns)), shape=distances.shape)


def softmax(row):
    raised = [math.exp(value - max(row)) for value in row]
    return [value / sum(raised) for value in raised]


def targets_oracle(logits, labels, indices, distances, *, radius, temperature, sign, alpha):
    """Image after image, neighbour after neighbour, as the specification says it."""
    found = []
    for index, label in zip(indices, labels, strict=True):
        near = [u for u in dict.fromkeys(indices) if u == index or distances[index][u] <= np.float32(radius)]
        weights = [math.exp(sign * float(distances[index][u]) / temperature) for u in near]
        mean = [0.0] * len(logits[0])
        for record, weight in zip(near, weights, strict=True):
            predicted = softmax([float(value) for value in logits[list(indices).index(record)]])
            mean = [value + weight / sum(weights) * p for value, p in zip(mean, predicted, strict=True)]
        found.append([alpha * (c == label) + (1 - alpha) * value for c, value in enumerate(mean)])
    return np.array(found)


@pytest.mark.parametrize("case", CASES)
def test_targets_loss_and_gradients_are_those_of_the_released_code(case):
    facts, labels = CASES[case], GOLDEN["labels"]
    distances = GOLDEN["other_labels_J" if case == "other_labels" else "J"]
    records, wanted = GOLDEN[f"{case}_records"], GOLDEN[f"{case}_targets"]
    settings_of_case = {"radius": facts["tau"], "temperature": facts["T"], "sign": float(facts["option"])}
    graph = neighbour_graph(stored(distances), labels, **settings_of_case)
    bn, weight = (paddle.to_tensor(GOLDEN[f"{case}_{name}"], stop_gradient=False) for name in ("bn", "W"))
    logits = head_logits(bn, weight, wanted.shape[1])
    targets = neighbour_targets(logits, labels[records], records, graph, alpha=facts["alpha"])
    assert targets.stop_gradient
    np.testing.assert_allclose(targets.numpy(), wanted, atol=1e-6)
    np.testing.assert_allclose(targets.numpy().sum(axis=1), 1.0, atol=1e-6)
    arguments = (logits.numpy(), labels[records].tolist(), records.tolist(), distances)
    by_loops = targets_oracle(*arguments, **settings_of_case, alpha=facts["alpha"])
    np.testing.assert_allclose(targets.numpy(), by_loops, atol=1e-6)
    loss = soft_cross_entropy(logits, targets)
    loss.backward()
    assert loss.item() == pytest.approx(facts["loss"], abs=2e-6)
    for found, name in ((bn.grad, "grad_bn"), (weight.grad, "grad_W")):
        expected = GOLDEN[f"{case}_{name}"]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5 * np.abs(expected).max())
    assert not weight.grad[wanted.shape[1] :].any().item(), "rows without a cluster have no gradient"


def test_the_case_that_is_counted_by_hand():
    distances = stored(np.where(np.eye(10), 0, 0.2).astype(np.float32))
    graph = neighbour_graph(distances, np.zeros(10, int), radius=0.2)
    logits = paddle.to_tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    targets = neighbour_targets(logits, np.array([0, 1, 0]), np.array([5, 9, 5]), graph, alpha=0.1)
    expected = [[0.589940, 0.410060], [0.544824, 0.455176], [0.589940, 0.410060]]
    np.testing.assert_allclose(targets.numpy(), expected, atol=1e-6)
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(0.832760, abs=1e-6)


def test_outliers_and_far_images_are_no_neighbours_and_a_distance_of_zero_is_one():
    distances = np.float32([[0, 0, 0.3, 0.2], [0, 0, 0.2, 0.2], [0.3, 0.2, 0, 0.1], [0.2, 0.2, 0.1, 0]])
    graph = neighbour_graph(stored(distances), np.array([0, 1, 1, -1]), radius=0.2, temperature=0.5, sign=-1.0)
    near = math.exp(-0.2 / 0.5)
    np.testing.assert_allclose(
        graph.toarray(), [[1, 1, 0, 0], [1, 1, near, 0], [0, near, 1, 0], [0, 0, 0, 0]], atol=1e-6
    )
    # and where the diagonal is not stored
    assert (
        neighbour_graph(csr_matrix(distances), np.array([0, 1, 1, -1]), radius=0.2).diagonal() == [1, 1, 1, 0]
    ).all()


@given(data=st.data(), size=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_targets_equal_the_loops_on_uneven_batches_with_repeated_records(data, size):
    indices = np.array(data.draw(st.lists(st.integers(0, 8), min_size=size, max_size=size)))
    sign, alpha = data.draw(st.sampled_from([-1.0, 0.0, 1.0])), data.draw(st.sampled_from([0.0, 0.1, 1.0]))
    rng = np.random.default_rng(size)
    distances = rng.uniform(0, 0.5, (9, 9)).astype(np.float32)
    distances = np.maximum(distances, distances.T) * (1 - np.eye(9, dtype=np.float32))
    labels, logits = rng.integers(0, 4, 9), rng.standard_normal((size, 4)).astype(np.float32) * 5
    chosen = {"radius": 0.3, "temperature": 0.7, "sign": sign}
    graph = neighbour_graph(stored(distances), labels, **chosen)
    find = partial(neighbour_targets, graph=graph, alpha=alpha)
    found = find(paddle.to_tensor(logits), labels[indices], indices).numpy()
    wanted = targets_oracle(logits, labels[indices], indices.tolist(), distances, **chosen, alpha=alpha)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    if len(set(indices.tolist())) == size:  # without repetition the order of the batch does not matter
        order = rng.permutation(size)
        permuted = find(paddle.to_tensor(logits[order]), labels[indices][order], indices[order]).numpy()
        np.testing.assert_allclose(permuted, found[order], atol=1e-6)


def test_without_neighbours_the_own_prediction_counts_and_with_alpha_1_the_label_alone():
    apart = np.where(np.eye(48), 0, np.maximum(GOLDEN["J"], 1e-4)).astype(np.float32)
    graph = neighbour_graph(stored(apart), GOLDEN["labels"], radius=1e-5)
    records = np.flatnonzero(GOLDEN["labels"] >= 0)[:9]
    logits, labels = paddle.to_tensor(GOLDEN["features"][:9, :7]), GOLDEN["labels"][records]
    own = neighbour_targets(logits, labels, records, graph, alpha=0.0)
    np.testing.assert_allclose(own.numpy(), paddle.nn.functional.softmax(logits).numpy(), atol=1e-6)
    hard = neighbour_targets(logits, labels, records, graph, alpha=1.0)
    plain = paddle.nn.functional.cross_entropy(logits, paddle.to_tensor(labels))
    assert soft_cross_entropy(logits, hard).item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_graph_travels_as_arrays_and_others_are_refused():
    graph = neighbour_graph(stored(GOLDEN["J"]), GOLDEN["labels"], radius=0.2)
    arrays = csr_arrays(graph)
    assert (kept_csr(arrays) != graph).nnz == 0
    for wrong in ([arrays[0][:-1], *arrays[1:]], [arrays[0], arrays[1] + 1000, arrays[2]], [arrays[2]] * 3):
        with pytest.raises(WeightsError, match="neighbours that the checkpoint holds for its epoch are none"):
            kept_csr(wrong)


def test_the_head_starts_on_the_centroids_and_too_many_clusters_are_named():
    head = RefineHead(3, 2)
    before = head.weight.numpy()
    head.begin(paddle.eye(2))
    np.testing.assert_array_equal(head.weight.numpy(), [[1, 0], [0, 1], before[2]])
    with pytest.raises(ClusteringError, match=r"found 4 clusters and refine\.max_clusters is 3; .*raise labels\.eps"):
        head.begin(paddle.zeros([4, 2]))
    later = Refinement(head, weight=1.0, graph=neighbour_graph, alpha=0.1, start_epoch=2)
    assert later.of_epoch(1, 2, ()) is None


class Net(paddle.nn.Layer):
    """The network of the released steps: a linear layer in place of the ResNet, the neck, and the head beside."""

    def __init__(self):
        super().__init__()
        self.base = paddle.nn.Linear(12, 12, bias_attr=False)
        self.bnneck = FrozenBiasBatchNorm(12)
        self.classifier = RefineHead(9, 12)

    def forward(self, inputs):
        return self.bnneck(self.base(inputs))


def torch_state(before):
    """Trained values of the released network under our names."""
    names = ("base.weight", "bnneck.weight", "classifier.weight")
    values = {name: STEPS[f"{before}.{name}"] for name in names}
    return {**values, "base.weight": values["base.weight"].T}


def test_three_steps_are_those_of_the_released_trainer():
    meta, labels = json.loads(str(STEPS["meta"])), STEPS["labels"]
    net = Net()
    state = {name: value for name, value in net.state_dict().items() if name.startswith("bnneck._")}
    net.set_state_dict({**state, **torch_state("before"), "bnneck.bias": STEPS["before.bnneck.bias"]})
    optimizer = adam_with_l2(net, lr=3.5e-4, weight_decay=5e-4)
    refinement = Refinement(net.classifier, weight=1.0, graph=partial(neighbour_graph, radius=0.2), alpha=0.1)
    base = partial(ise_objective, topk=0, supports_in_contrast=False, label_preserving=False)
    run = ComposedObjective(lambda clusters: base, additions=[refinement], from_bn=True)
    kept = run.prepare(Clustering(STEPS["features"], stored(STEPS["J"]), labels, np.zeros(len(labels), int)))
    memory = ClusterMemory(STEPS["memory_before"], update_sequential, 0.1)
    run.begin(memory.centroids)
    objective = run.of_epoch(0, 6, kept)
    guard = FiniteGuard(lambda batch, values: pytest.fail(str(values)))
    for number in range(3):
        records, inputs = STEPS[f"step{number}.records"], paddle.to_tensor(STEPS[f"step{number}.inputs"])
        batch = StepBatch(number, records, labels[records], camids=np.zeros(len(records), int))
        losses = training_step(net, memory, inputs, batch, optimizer, objective, guard=guard)
        names = ("loss_contrast", "loss_refine", "loss")
        wanted = meta["losses (memory, refine, total) per step"][number]
        np.testing.assert_allclose([losses[name].item() for name in names], wanted, atol=2e-5)
        np.testing.assert_allclose(memory.centroids.numpy(), STEPS[f"step{number}.memory_after"], atol=2e-5)
        for name, value in torch_state(f"step{number}.after").items():
            difference = np.abs(net.state_dict()[name].numpy() - value)
            # Adam's first steps follow the sign of a gradient, which rounding decides where it is nearly 0
            assert difference.max() < 7e-4 and (difference > 2e-5).mean() < 0.02, name
