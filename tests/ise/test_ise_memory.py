import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import ConfigError, TrainingError
from ppreid.ise.memory import ClusterMemory, update_hard, update_sequential


def normalised(vector):
    return vector / np.linalg.norm(vector)


def hard_oracle(centroids, features, labels, momentum):
    updated = centroids.astype(np.float64)
    for label in set(labels.tolist()):
        rows = [row for row in range(len(labels)) if labels[row] == label]
        hardest = min(rows, key=lambda row: float(centroids[label] @ features[row]))
        updated[label] = normalised(momentum * updated[label] + (1 - momentum) * features[hardest])
    return updated


def sequential_oracle(centroids, features, labels, momentum):
    updated = centroids.astype(np.float64)
    for feature, label in zip(features, labels, strict=True):
        updated[label] = normalised(momentum * updated[label] + (1 - momentum) * feature)
    return updated


UPDATES = [(update_hard, hard_oracle), (update_sequential, sequential_oracle)]


@pytest.mark.parametrize(("update", "oracle"), UPDATES)
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("labels", [[4, 0, 4, 4, 2, 0, 4, 2, 4, 0], [1] * 10, [3, 3, 5, 5, 0, 0, 1, 1, 2, 2]])
def test_update_equals_loop(unit_rows, update, oracle, momentum, labels):
    centroids, features, labels = unit_rows(6, 8, seed=1), unit_rows(10, 8, seed=2), np.array(labels)
    updated = update(paddle.to_tensor(centroids), paddle.to_tensor(features), labels, momentum=momentum)
    np.testing.assert_allclose(updated.numpy(), oracle(centroids, features, labels, momentum), atol=1e-6)


@given(labels=st.lists(st.integers(0, 7), min_size=1, max_size=24), momentum=st.floats(0.0, 1.0))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("update", [update_hard, update_sequential])
def test_rows_stay_unit_and_absent_classes_stay(update, labels, momentum):
    rng = np.random.default_rng(len(labels))
    centroids, features = (rng.standard_normal((rows, 6)).astype(np.float32) for rows in (8, len(labels)))
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    before = paddle.to_tensor(centroids)
    updated = update(before, paddle.to_tensor(features), np.array(labels), momentum=momentum).numpy()
    np.testing.assert_allclose(np.linalg.norm(updated, axis=1), 1.0, atol=1e-6)
    absent = np.setdiff1d(np.arange(8), labels)
    assert (updated[absent] == centroids[absent]).all()
    assert (before.numpy() == centroids).all()  # the argument is not written to


def test_first_of_equally_hard_rows_wins(at_angles):
    centroids = paddle.to_tensor(at_angles(0))
    rows = paddle.to_tensor(at_angles(20, 60, -60))
    updated = update_hard(centroids, rows, np.zeros(3, int), momentum=0.0)
    np.testing.assert_allclose(updated.numpy(), at_angles(60), atol=1e-6)


def test_order_matters_in_the_sequential_update_only(at_angles):
    centroids, rows = paddle.to_tensor(at_angles(0)), at_angles(30, 80)
    for update, same in ((update_hard, True), (update_sequential, False)):
        results = [
            update(centroids, paddle.to_tensor(rows[order]), np.zeros(2, int), momentum=0.2).numpy()
            for order in ([0, 1], [1, 0])
        ]
        assert np.allclose(*results, atol=1e-6) is same


def test_memory_changes_only_in_update(unit_rows):
    start = unit_rows(3, 4)
    memory = ClusterMemory(start, update_hard, 0.2)
    assert (memory.centroids.numpy() == start).all()
    features = paddle.to_tensor(5 * unit_rows(4, 4, seed=1))  # normalised by the memory
    features.stop_gradient = False
    memory.update(features, np.array([0, 0, 2, 2]))
    expected = hard_oracle(start, unit_rows(4, 4, seed=1), np.array([0, 0, 2, 2]), 0.2)
    np.testing.assert_allclose(memory.centroids.numpy(), expected, atol=1e-6)
    assert memory.centroids.stop_gradient
    assert isinstance(memory.centroids, paddle.Tensor)


def test_memory_owns_its_centroids(unit_rows):
    start = unit_rows(2, 4)
    memory = ClusterMemory(start, update_sequential, 0.1)
    start[:] = 0.0
    np.testing.assert_allclose(np.linalg.norm(memory.centroids.numpy(), axis=1), 1.0, atol=1e-6)


def test_heads_move_as_memories_of_their_own(unit_rows):
    labels = np.array([0, 2, 2, 1, 0, 2])
    centroids, features = (
        [unit_rows(rows, 8, seed=seed) for seed in seeds] for rows, seeds in ((4, (1, 2)), (6, (3, 4)))
    )
    both = ClusterMemory(np.hstack(centroids), update_hard, 0.3, heads=2)
    both.update(paddle.to_tensor(np.hstack(features)), labels)
    for head, (before, rows) in enumerate(zip(centroids, features, strict=True)):
        alone = ClusterMemory(before, update_hard, 0.3)
        alone.update(paddle.to_tensor(rows), labels)
        assert (both.centroids.numpy()[:, head * 8 : head * 8 + 8] == alone.centroids.numpy()).all()
    with pytest.raises(TrainingError, match=r"16 numbers .* 3 equal heads"):
        ClusterMemory(np.hstack(centroids), update_hard, 0.3, heads=3)


@pytest.mark.parametrize("shape", [(0, 4), (4,)])
def test_memory_without_centroids(shape):
    with pytest.raises(TrainingError, match=r"a memory needs centroids \(C, D\), C at least 1; got shape"):
        ClusterMemory(np.zeros(shape, np.float32), update_hard, 0.2)


def test_memory_momentum_out_of_range(unit_rows):
    with pytest.raises(ConfigError, match=r"memory momentum is 1\.2"):
        ClusterMemory(unit_rows(2, 4), update_hard, 1.2)


def test_memory_refuses_outliers(unit_rows):
    memory = ClusterMemory(unit_rows(2, 4), update_sequential, 0.2)
    with pytest.raises(TrainingError, match="1 of 2 labels have no centroid, for example -1"):
        memory.update(paddle.to_tensor(unit_rows(2, 4)), np.array([-1, 1]))
