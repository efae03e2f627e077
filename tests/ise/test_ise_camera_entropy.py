"""Weights by the cameras of a class, and the memory update by harmonic discrepancy."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.contracts import StepBatch
from ppreid.ise.camera_entropy import camera_entropy, camera_entropy_weights, update_harmonic
from ppreid.ise.memory import ClusterMemory, update_hard, update_sequential
from ppreid.ise.objective import cluster_contrast_loss, ise_objective

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "goldens" / "cie_chd.npz")
META = json.loads(str(GOLDEN["meta"]))
CASES = list(META["cases"])
UPDATES = {"hd_camera": update_harmonic, "cm_hard": update_hard, "cm": update_sequential}


def golden(case, name):
    return GOLDEN[f"{case}_{name}"]


def weights_oracle(labels, camids):
    """One image after another, as the specification says it."""
    raised = {}
    for label in set(labels):
        own = [camera for camera, other in zip(camids, labels, strict=True) if other == label]
        shares = [own.count(camera) / len(own) for camera in set(own)]
        raised[label] = math.exp(-sum(share * math.log2(share) for share in shares))
    total = sum(raised.values())
    return [len(raised) * raised[label] / total for label in labels]


def harmonic_oracle(centroids, rows, labels, camids, momentum):
    """Class after class, camera after camera, row after row."""
    updated = np.array(centroids, np.float64)
    for label in dict.fromkeys(labels):
        best, chosen = -math.inf, None
        of_class = [row for row in range(len(labels)) if labels[row] == label]
        for camera in dict.fromkeys(camids[row] for row in of_class):
            own = [row for row in of_class if camids[row] == camera]
            mean = sum(rows[row].astype(np.float64) for row in own) / len(own)
            typical = mean / np.linalg.norm(mean)
            for row in own:
                s, q = 1 + rows[row] @ typical, 1 - rows[row] @ centroids[label]
                if q * s / max(q + s, 1e-12) > best:
                    best, chosen = q * s / max(q + s, 1e-12), row
        moved = momentum * updated[label] + (1 - momentum) * rows[chosen]
        updated[label] = moved / np.linalg.norm(moved)
    return updated


def harmonic(centroids, rows, labels, camids, momentum=0.1):
    arguments = (paddle.to_tensor(centroids), paddle.to_tensor(rows), np.array(labels), np.array(camids))
    return update_harmonic(*arguments, momentum=momentum).numpy()


@pytest.mark.parametrize("case", CASES)
def test_weights_are_those_of_the_released_code(case):
    labels, cameras = golden(case, "labels"), golden(case, "cameras")
    classes, bits = camera_entropy(labels, cameras)
    np.testing.assert_array_equal(classes, golden(case, "classes"))
    np.testing.assert_allclose(bits, golden(case, "bits"), atol=1e-6)
    weights = camera_entropy_weights(labels, cameras)
    np.testing.assert_allclose(weights, golden(case, "row_weights"), atol=1e-6)
    np.testing.assert_allclose(weights, weights_oracle(labels.tolist(), cameras.tolist()), atol=1e-12)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_the_released_code(case, weighted):
    labels, name = golden(case, "labels"), "weighted" if weighted else "plain"
    first = golden(case, "rows").reshape(-1, len(labels), golden(case, "rows").shape[-1])[0]
    rows = paddle.to_tensor(first)
    rows.stop_gradient = False
    weights = camera_entropy_weights(labels, golden(case, "cameras")) if weighted else None
    memory = paddle.to_tensor(golden(case, "memory_before"))
    loss = cluster_contrast_loss(rows, labels, memory, temperature=META["temperature"], weights=weights)
    loss.backward()
    assert loss.item() == pytest.approx(float(golden(case, f"loss_{name}")), abs=2e-6)
    wanted = golden(case, f"grad_rows_{name}")
    # and what float32 leaves of 1 - p for a row that is nearly sure of its class, over B and temperature
    np.testing.assert_allclose(rows.grad.numpy(), wanted, atol=1e-5 * np.abs(wanted).max() + 5e-8)


@pytest.mark.parametrize("mode", UPDATES)
@pytest.mark.parametrize("case", CASES)
def test_the_memory_moves_as_in_the_released_code(case, mode):
    labels, cameras = golden(case, "labels"), golden(case, "cameras")
    steps = golden(case, "rows").reshape(-1, len(labels), golden(case, "rows").shape[-1])
    memory = ClusterMemory(
        golden(case, "memory_before"), UPDATES[mode], META["momentum"], needs_cameras=mode == "hd_camera"
    )
    weigh = camera_entropy_weights(labels, cameras)
    for number, rows in enumerate(paddle.to_tensor(steps)):
        loss = cluster_contrast_loss(rows, labels, memory.centroids, temperature=META["temperature"], weights=weigh)
        memory.update(rows, labels, StepBatch(number, np.arange(len(labels)), labels, camids=cameras))
        wanted = golden(case, f"memory_after_{mode}")
        if len(steps) > 1:
            assert loss.item() == pytest.approx(META["cases"][case][f"losses_weighted_{mode}"][number], abs=2e-6)
            wanted = golden(case, f"memory_after_{mode}_steps")[number]
        np.testing.assert_allclose(memory.centroids.numpy(), wanted, atol=1e-6)


def test_the_case_that_is_counted_by_hand(at_angles):
    rows, centroids = at_angles(0, 10, 20, 60, 90, 100, 130, 150), at_angles(10, 121, 200)
    labels, cameras = np.repeat([0, 1], 4), np.array([0, 0, 0, 0, 0, 1, 1, 2])
    assert camera_entropy(labels, cameras)[1].tolist() == [0, 1.5]
    weights = camera_entropy_weights(labels, cameras)
    np.testing.assert_allclose(weights[[0, 4]], [0.364851, 1.635149], atol=1e-6)
    loss = partial(cluster_contrast_loss, paddle.to_tensor(rows), labels, paddle.to_tensor(centroids))
    assert loss().item() == pytest.approx(0.0064020, abs=2e-6)
    assert loss(weights=weights).item() == pytest.approx(0.0038676, abs=2e-6)
    x, y = harmonic(centroids, rows, labels, cameras).T
    np.testing.assert_allclose(np.rad2deg(np.arctan2(y, x)) % 360, [55.4578, 92.9910, 200], atol=1e-3)


def test_equal_histograms_of_cameras_give_the_plain_loss_and_names_of_cameras_do_not_matter(unit_rows):
    labels = np.array([3, 3, 3, 1, 1, 1, 6, 6, 6])
    same = np.array([0, 0, 4, 7, 2, 2, 9, 1, 9])
    assert camera_entropy_weights(labels, same).tolist() == pytest.approx([1.0] * 9)
    assert camera_entropy_weights(labels, np.zeros(9, int)).tolist() == [1.0] * 9
    cameras, renamed = np.array([0, 1, 2, 0, 0, 1, 0, 0, 0]), np.array([50, 7, 900, 50, 50, 7, 50, 50, 50])
    np.testing.assert_array_equal(camera_entropy_weights(labels, cameras), camera_entropy_weights(labels, renamed))
    centroids, rows = unit_rows(7, 5), unit_rows(9, 5, seed=1)
    np.testing.assert_array_equal(
        harmonic(centroids, rows, labels, cameras), harmonic(centroids, rows, labels, renamed)
    )


@given(data=st.data(), size=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_both_parts_equal_their_loops_on_uneven_batches(data, size):
    labels = data.draw(st.lists(st.sampled_from([0, 2, 5, 6]), min_size=size, max_size=size))
    cameras = data.draw(st.lists(st.sampled_from([-3, 0, 4, 1000]), min_size=size, max_size=size))
    weights = camera_entropy_weights(np.array(labels), np.array(cameras))
    np.testing.assert_allclose(weights, weights_oracle(labels, cameras), atol=1e-12)
    assert np.mean([weights[labels.index(label)] for label in set(labels)]) == pytest.approx(1.0)
    rng = np.random.default_rng(size)
    rows, centroids = (rng.standard_normal((count, 6)).astype(np.float32) for count in (size, 7))
    rows, centroids = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, centroids))
    found = harmonic(centroids, rows, labels, cameras, momentum=0.3)
    np.testing.assert_allclose(found, harmonic_oracle(centroids, rows, labels, cameras, 0.3), atol=1e-6)


def test_of_equal_rows_that_of_the_first_camera_counts(at_angles):
    """Rows at 50 and -50 degrees are equally far from the centroid, and each is alone in its camera."""
    for angles, expected in (((50, -50, 0), 50), ((-50, 50, 0), -50)):
        moved = harmonic(at_angles(0), at_angles(*angles), [0, 0, 0], [8, 1, 4], momentum=0.0)
        np.testing.assert_allclose(moved, at_angles(expected), atol=1e-6)
    # the second and the third row are mirror images, and so are their cameras; that of the third came first
    moved = harmonic(at_angles(0), at_angles(-40, 50, -50, 40), [0] * 4, [8, 1, 8, 1], momentum=0.0)
    np.testing.assert_allclose(moved, at_angles(-50), atol=1e-6)


def test_supports_inherit_the_weight_of_their_sample(unit_rows):
    features, centroids = paddle.to_tensor(unit_rows(4, 6)), paddle.to_tensor(unit_rows(5, 6, seed=1))
    labels, cameras = np.array([0, 0, 3, 3]), np.array([0, 1, 2, 2])
    batch = StepBatch(0, np.arange(4), labels, camids=cameras)
    terms = ise_objective(
        *(features, labels, centroids, 0.1), topk=2, batch=batch, contrast_weights=camera_entropy_weights
    )
    weights = camera_entropy_weights(labels, cameras)
    by_row = np.concatenate([weights, np.repeat(weights, 2)])
    wanted = cluster_contrast_loss(terms.memory_features, terms.memory_labels, centroids, weights=by_row)
    assert terms.logs["loss_contrast"].item() == pytest.approx(wanted.item(), rel=1e-6)
    plain = ise_objective(features, labels, centroids, 0.1, topk=2, batch=batch)
    assert terms.logs["loss_lp"].item() == plain.logs["loss_lp"].item(), "the label-preserving loss is not weighted"
    assert batch.of_rows(terms.memory_rows).camids.tolist() == [0, 1, 2, 2, 0, 0, 1, 1, 2, 2, 2, 2]
