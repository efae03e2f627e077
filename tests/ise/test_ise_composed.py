"""The objective of a run: alone, and with losses beside it."""

import numpy as np
import paddle
import pytest

from ppreid import tables, wiring
from ppreid.base.errors import TrainingError, WeightsError
from ppreid.config.schema import TrainingConfig
from ppreid.contracts import Clustering, LossTerms, StepBatch
from ppreid.ise.composed import ComposedObjective
from ppreid.ise.memory import ClusterMemory

LABELS, INDICES, CAMIDS = np.array([0, 0, 1]), np.array([4, 9, 4]), np.array([0, 2, 7])
BATCH = StepBatch(3, INDICES, LABELS, 0.1, CAMIDS)


def base(features, labels, centroids, degree, *, batch):
    """Moves the memory by the batch and one support of its last row."""
    total = features.sum()
    rows = paddle.concat([features, -features[-1:]]).detach()
    return LossTerms(total, {"loss": total.detach()}, rows, np.append(labels, 1), np.array([0, 1, 2, 2]))


class Half:
    """Adds half the sum of the rows of the neck, from epoch 1; keeps two arrays."""

    name, num_kept = "half", 2

    def __init__(self):
        self.begun = []

    def prepare(self, clustering):
        return [clustering.labels, clustering.camids]

    def begin(self, centroids):
        self.begun.append(centroids)

    def of_epoch(self, epoch, num_clusters, kept):
        self.kept = kept
        return (lambda features, batch: 0.5 * batch.bn.sum()) if epoch else None


def loss_of(objective, rows):
    features = paddle.to_tensor(np.float32(rows))
    features.stop_gradient = False
    return features, objective(features, LABELS, paddle.eye(2), 0.1, batch=BATCH)


ROWS = [[3.0, 4.0], [0.0, 2.0], [6.0, 8.0]]


def test_an_objective_that_is_alone_is_called_by_the_step_itself():
    assert ComposedObjective(lambda clusters: base).of_epoch(0, 2, ()) is base


def test_a_loss_is_added_and_logged_and_its_gradient_reaches_the_rows_of_the_neck():
    addition = Half()
    composed = ComposedObjective(lambda clusters: base, additions=[addition], from_bn=True)
    _, first = loss_of(composed.of_epoch(0, 2, [LABELS, CAMIDS]), ROWS)
    assert set(first.logs) == {"loss"} and first.total.item() == pytest.approx(0.6 + 0.8 + 1.0 + 0.6 + 0.8)
    features, terms = loss_of(composed.of_epoch(1, 2, [LABELS, CAMIDS]), ROWS)
    assert [array.tolist() for array in addition.kept] == [LABELS.tolist(), CAMIDS.tolist()]
    assert terms.total.item() == pytest.approx(3.8 + 0.5 * 23.0)
    assert terms.logs["loss_half"].item() == 11.5 and terms.logs["loss"].item() == terms.total.item()
    terms.total.backward()
    # of the unit row (x, y) / r: the derivative of (x + y) / r, and a half
    for (x, y), gradient in zip(ROWS, features.grad.tolist(), strict=True):
        r = np.hypot(x, y)
        assert gradient == pytest.approx([0.5 + 1 / r - (x + y) * x / r**3, 0.5 + 1 / r - (x + y) * y / r**3])


def test_each_part_finds_what_it_has_kept():
    seen = []

    def objective(features, labels, centroids, degree, *, batch):
        seen.append((batch.kept, batch.indices.tolist(), batch.bn))
        return base(features, labels, centroids, degree, batch=batch)

    addition = Half()
    composed = ComposedObjective(lambda clusters: objective, additions=[addition], prepare=lambda clustering: ["mine"])
    composed.begin("centroids")
    assert addition.begun == ["centroids"]

    kept = composed.prepare(Clustering(np.eye(2), "distances", "labels", "camids"))
    assert kept == ["labels", "camids", "mine"]
    loss_of(composed.of_epoch(0, 2, kept), ROWS)
    assert seen == [(("mine",), [4, 9, 4], None)]


def test_arrays_of_another_configuration_are_refused():
    composed = ComposedObjective(lambda clusters: base, additions=[Half()])
    with pytest.raises(WeightsError, match="has no arrays for loss_half; resume from a checkpoint between two epochs"):
        composed.of_epoch(1, 2, [LABELS])


def test_the_memory_may_learn_from_the_images_alone():
    _, terms = loss_of(ComposedObjective(lambda clusters: base).of_epoch(0, 2, ()), ROWS)
    assert terms.memory_features.shape[0] == 4 and terms.memory_labels.tolist() == [0, 0, 1, 1]
    composed = ComposedObjective(lambda clusters: base, from_bn=True, originals=True)
    _, terms = loss_of(composed.of_epoch(0, 2, ()), ROWS)
    np.testing.assert_allclose(terms.memory_features.numpy(), [[0.6, 0.8], [0, 1], [0.6, 0.8]], atol=1e-6)
    assert terms.memory_labels is LABELS and terms.memory_rows is None


def test_a_batch_of_rows_repeats_what_is_known_of_them():
    supports = BATCH._replace(bn=paddle.eye(3)).of_rows(np.array([0, 2, 2]))
    assert [supports.indices.tolist(), supports.labels.tolist()] == [[4, 4, 4], [0, 1, 1]]
    assert supports.camids.tolist() == [0, 7, 7] and supports.bn is None
    assert BATCH.of_rows(None) is not None and BATCH.of_rows(None).indices is INDICES


@pytest.mark.parametrize(("objective", "rows"), [("baseline", 3), ("ise_lp", 3), ("ise", 6), ("ise_pli", 6)])
def test_every_objective_says_which_image_a_row_of_the_memory_comes_from(objective, rows):
    cfg = TrainingConfig.model_validate({"ise": {"objective": objective}})
    features = paddle.nn.functional.normalize(paddle.to_tensor(np.float32(ROWS)))
    terms = wiring.objective(cfg.ise, num_clusters=2)(features, LABELS, paddle.eye(2), 0.1, batch=BATCH)
    assert terms.memory_rows.tolist() == [0, 1, 2, 0, 1, 2][:rows]
    np.testing.assert_array_equal(terms.memory_labels, LABELS[terms.memory_rows])


def test_a_function_of_four_arguments_is_called_with_four(monkeypatch):
    def plain(features, labels, centroids, degree, *, topk, temperature, lp_temperature, lp_weight):
        return LossTerms(features.sum() * degree, {}, features, labels)

    monkeypatch.setitem(tables.OBJECTIVES, "plain", tables.Objective(plain, "plain", has_supports=False))
    cfg = TrainingConfig.model_validate({"ise": {"objective": "plain"}})
    objective = wiring.run_objective(cfg).of_epoch(0, 2, ())
    _, terms = loss_of(objective, ROWS)
    assert terms.total.item() == pytest.approx(2.3)


def test_an_update_by_cameras_gets_those_of_its_rows():
    seen = []

    def update(centroids, features, labels, camids, *, momentum):
        seen.append((labels.tolist(), camids.tolist(), momentum))
        return centroids

    memory = ClusterMemory(np.eye(2, dtype=np.float32), update, 0.25, needs_cameras=True)
    memory.update(paddle.eye(2), np.array([0, 1]), BATCH.of_rows(np.array([1, 2])))
    assert seen == [([0, 1], [2, 7], 0.25)]
    for batch, found in ((None, "none"), (BATCH, "cameras of 3"), (BATCH._replace(camids=None), "none")):
        with pytest.raises(TrainingError, match=f"the camera of each of 2 rows is needed, got {found}"):
            memory.update(paddle.eye(2), np.array([0, 1]), batch)


def test_rows_beside_each_other_have_the_objective_each():
    """Unlike a loss of all numbers together: two rows of two numbers, the second with all of the weight."""

    def objective(features, labels, centroids, degree, *, batch):
        total = (features * centroids[0]).sum()
        return LossTerms(total, {"loss": total.detach()}, features.detach(), labels, None)

    composed = ComposedObjective(lambda clusters: objective, head_weights=(0.25, 0.75))
    features = np.float32([[1, 2, 3, 4], [5, 6, 7, 8]])
    terms = composed.of_epoch(0, 1, ())(
        paddle.to_tensor(features), np.array([0, 0]), paddle.to_tensor([[1.0, 0.0, 0.0, 1.0]]), 0.0, batch=BATCH
    )
    assert terms.total.item() == 0.25 * (1 + 5) + 0.75 * (4 + 8)
    np.testing.assert_array_equal(terms.memory_features.numpy(), features)
