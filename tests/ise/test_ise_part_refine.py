"""Refined labels of the whole image and its halves: distances, targets, losses and memories."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import paddle
import pytest
from scipy.sparse import csr_matrix

from ppreid.contracts import StepBatch
from ppreid.ise.composed import ComposedObjective
from ppreid.ise.memory import ClusterMemory, update_sequential
from ppreid.ise.neighbour_graph import csr_arrays, neighbour_graph, neighbour_means
from ppreid.ise.objective import ise_objective
from ppreid.ise.part_refine import PartRefinement, agreement, head_weights, mixed_distance, part_targets
from ppreid.ise.refine import RefineHead, head_logits
from ppreid.models.parts import AllHeads, HalfParts

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "goldens" / "gl_ncplr.npz")
META = json.loads(str(GOLDEN["meta"]))
CASES, HEADS = META["cases"], META["order"]


def golden(case, name):
    return [GOLDEN[f"{case}_{name}_{head}"] for head in HEADS]


def stored(distances, beyond=2.0):
    rows, columns = np.nonzero(distances < beyond)
    return csr_matrix((distances[rows, columns], (rows, columns)), shape=distances.shape)


def graph_of(case):
    return neighbour_graph(
        stored(GOLDEN["J_mixed"]), GOLDEN["labels"], radius=CASES[case]["tau"], temperature=CASES[case]["T"]
    )


def settings_of(case):
    facts = CASES[case]
    return {"alpha": facts["alpha"], "part_alpha": facts["cmalpha"], "kl_temperature": facts["kl_temperature"]}


def divergence(own, other):
    return sum(max(a, 1e-12) * math.log(max(a, 1e-12) / max(b, 1e-12)) for a, b in zip(own, other, strict=True))


def targets_oracle(means, labels, *, alpha, part_alpha, kl_temperature):
    """Image after image, as the specification says it."""
    found = [[], [], []]
    for row, label in enumerate(labels):
        whole, *halves = ([float(value) for value in mean[row]] for mean in means)
        trust = [1.0, *(math.exp(-divergence(whole, half) / kl_temperature) for half in halves)]
        for c in range(len(whole)):
            if c == 0:
                for each in found:
                    each.append([])
            joined = sum(t * p[c] for t, p in zip(trust, (whole, *halves), strict=True)) / sum(trust)
            found[0][row].append(alpha * (c == label) + (1 - alpha) * joined)
            for number, half in enumerate(halves, start=1):
                v = math.exp(-divergence(half, whole) / kl_temperature)
                own = (half[c] + v * whole[c]) / (1 + v)
                found[number][row].append(part_alpha * (c == label) + (1 - part_alpha) * own)
    return found


def test_distances_are_mixed_as_similarities():
    heads = [GOLDEN[f"J_{head}"] for head in HEADS]
    given = iter(heads)

    def distance(features, camids, *, stopwatch):
        assert features.shape == (46, 2)
        return stored(next(given), beyond=1.0)

    found = mixed_distance(np.zeros((46, 6), np.float32), None, stopwatch=None, distance=distance)
    pairs = found.tocoo()
    rows, columns = pairs.row.tolist(), pairs.col.tolist()
    np.testing.assert_allclose(pairs.data, GOLDEN["J_mixed"][rows, columns], atol=1e-6)
    assert set(map(tuple, np.argwhere(GOLDEN["J_mixed"] < 1 - 1e-5).tolist())) <= set(zip(rows, columns, strict=True))
    assert found.data.min() >= 0 and (found != found.T).nnz == 0
    given = iter(heads)
    near = mixed_distance(np.zeros((46, 6), np.float32), None, stopwatch=None, distance=distance, max_distance=0.5)
    wanted = np.argwhere(GOLDEN["J_mixed"] <= 0.5 - 1e-6).tolist()
    pairs = near.tocoo()
    assert set(map(tuple, wanted)) <= set(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True))
    assert near.data.max() <= 0.5


def test_a_pair_that_one_head_alone_sees_is_not_lost():
    """Distances 0.2 in the whole image and none stored in the halves: 1 - 0.6 * 0.8."""
    near = csr_matrix(np.float32([[0, 0.2], [0.2, 0]]) + np.eye(2, dtype=np.float32) * 1e-9)
    apart = csr_matrix(np.eye(2, dtype=np.float32) * 1e-9)
    given = iter([near, apart, apart])
    found = mixed_distance(
        np.zeros((2, 3), np.float32), None, stopwatch=None, distance=lambda *_, stopwatch: next(given)
    )
    assert found[0, 1] == pytest.approx(0.52)


@pytest.mark.parametrize("case", CASES)
def test_means_and_targets_are_those_of_the_released_code(case):
    records, means = GOLDEN[f"{case}_records"], []
    for bn, weight, wanted in zip(golden(case, "bn"), golden(case, "W"), golden(case, "neighbour_mean"), strict=True):
        logits = head_logits(paddle.to_tensor(bn), paddle.to_tensor(weight), wanted.shape[1])
        means.append(neighbour_means(logits, records, graph_of(case)))
        np.testing.assert_allclose(means[-1].numpy(), wanted, atol=1e-6)
    labels = GOLDEN["labels"][records]
    targets = part_targets(means, labels, **settings_of(case))
    by_loops = targets_oracle([mean.numpy() for mean in means], labels.tolist(), **settings_of(case))
    for found, wanted, oracle in zip(targets, golden(case, "targets"), by_loops, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
        np.testing.assert_allclose(found.numpy(), oracle, atol=1e-6)
        np.testing.assert_allclose(found.numpy().sum(axis=1), 1.0, atol=1e-6)
        assert found.stop_gradient


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_memories_are_those_of_the_released_code(case):
    facts, records = CASES[case], GOLDEN[f"{case}_records"]
    labels = GOLDEN["labels"][records]
    heads = []
    for weight in golden(case, "W"):
        heads.append(RefineHead(*weight.shape))
        heads[-1].weight.set_value(weight)
    addition = PartRefinement(heads, weight=1.0, part_weight=facts["lambda2"], graph=None, **settings_of(case))
    base = partial(*(ise_objective,), topk=0, supports_in_contrast=False, label_preserving=False, temperature=0.05)
    run = ComposedObjective(
        lambda clusters: base, additions=[addition], from_bn=True, head_weights=head_weights(facts["lambda2"])
    )
    before = np.concatenate(golden(case, "memory_before"), axis=1)
    memory = ClusterMemory(before, update_sequential, 0.1, heads=3)
    rows = paddle.to_tensor(np.concatenate(golden(case, "bn"), axis=1), stop_gradient=False)
    batch = StepBatch(0, records, labels, camids=np.zeros(len(records), int))
    arrays = csr_arrays(graph_of(case))
    refined = addition.of_epoch(0, 7, arrays)(None, batch._replace(bn=rows))
    refined.backward()
    for found, head, wanted, wanted_w in zip(
        paddle.split(rows.grad, 3, axis=1), heads, golden(case, "grad_bn"), golden(case, "grad_W"), strict=True
    ):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
        np.testing.assert_allclose(head.weight.grad.numpy(), wanted_w, atol=1e-5 * np.abs(wanted_w).max())
    rows.clear_gradient()
    terms = run.of_epoch(0, 7, arrays)(rows, labels, memory.centroids, 0.0, batch=batch)
    names = ("loss_refine", "loss_contrast", "loss")
    wanted = [facts["loss_refine"], facts["loss_memory"], facts["loss_total"]]
    np.testing.assert_allclose([terms.logs[name].item() for name in names], wanted, atol=2e-6)
    terms.total.backward()
    for found, wanted in zip(paddle.split(rows.grad, 3, axis=1), golden(case, "total_grad_bn"), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    memory.update(terms.memory_features, terms.memory_labels, batch)
    after = np.concatenate(golden(case, "memory_after"), axis=1)
    np.testing.assert_allclose(memory.centroids.numpy(), after, atol=1e-6)


def test_a_softmax_that_has_underflowed_gives_no_nan():
    one, other = paddle.to_tensor([[1.0, 0.0]]), paddle.to_tensor([[0.0, 1.0]])
    assert agreement(one, other, 5.0).item() == pytest.approx(math.exp(-math.log(1e12) / 5), rel=1e-4)
    assert agreement(one, one, 5.0).item() == 1.0
    targets = part_targets([one, other, one], np.array([0]), alpha=0.1, part_alpha=0.3, kl_temperature=5.0)
    assert all(np.isfinite(each.numpy()).all() for each in targets)


def test_halves_are_pooled_apart_and_only_training_gives_them(tiny_net):
    parts = HalfParts(64)
    net = tiny_net(parts=parts, bn_chunks=2)
    images = paddle.to_tensor(np.random.default_rng(0).standard_normal((4, 3, 48, 32)).astype(np.float32))
    net.eval()
    assert net(images).shape == [4, 64]
    together = AllHeads(net)(images).numpy().reshape(4, 3, 64)
    np.testing.assert_allclose(np.linalg.norm(together, axis=2), 1.0, atol=1e-5)
    np.testing.assert_allclose(together[:, 0], net(images).numpy(), atol=1e-6)
    maps = net.backbone(images)
    middle = maps.shape[2] // 2
    for number, half in ((1, maps[:, :, :middle]), (2, maps[:, :, middle:])):
        powers = (paddle.clip(half, min=1e-6) ** 3).mean(axis=[2, 3]) ** (1 / 3)
        expected = paddle.nn.functional.normalize(parts.necks[number - 1](powers), axis=1)
        np.testing.assert_allclose(together[:, number], expected.numpy(), atol=1e-5)
    net.train()
    rows = net(images)
    assert rows.shape == [4, 192]
    # each half is normalised in the chunks of the batch, and comes back in its order
    first = net(images[paddle.to_tensor([1, 0, 3, 2])])
    np.testing.assert_allclose(first.numpy()[[1, 0, 3, 2]], rows.numpy(), atol=1e-4)
