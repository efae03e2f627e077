import numpy as np
import paddle
import pytest

from ppreid.base.errors import PpreidWarning, TrainingError
from ppreid.ise.memory import ClusterMemory, update_hard, update_sequential
from ppreid.ise.objective import cluster_contrast_loss, ise_objective
from ppreid.ise.support_samples import support_samples, usable_topk

UPDATES = {"hard": update_hard, "ori": update_sequential}
CASES = [(1, "half"), (1, "mid"), (1, "zero"), (2, "half"), (2, "mid"), (3, "mid")]


def leaf(array):
    return paddle.to_tensor(array, stop_gradient=False)


def objective_at(features, labels, centroids, **switches):
    return ise_objective(paddle.to_tensor(features), labels, paddle.to_tensor(centroids), 0.2, **switches)


@pytest.mark.parametrize("momentum", [0.1, 0.2])
@pytest.mark.parametrize("update", ["hard", "ori"])
@pytest.mark.parametrize(("topk", "tag"), CASES)
def test_step_equals_released_code(golden, topk, tag, update, momentum):
    """Losses, gradient and the memory after the step."""
    arrays, meta = golden("losses_P4x16")
    features = leaf(arrays["feats"])
    memory = ClusterMemory(arrays["mem_before"], UPDATES[update], momentum)
    terms = ise_objective(features, arrays["labels"], memory.centroids, 0.5 * meta["cur_lambda"][tag], topk=topk)
    terms.total.backward()
    memory.update(terms.memory_features, terms.memory_labels)

    expected = meta["cases"][f"k{topk}_{tag}_{update}_m{momentum}"]
    assert terms.logs["loss_contrast"].item() == pytest.approx(expected["loss_cc"], abs=2e-6)
    assert terms.logs["loss_lp"].item() == pytest.approx(expected["loss_lp"], abs=2e-6)
    assert terms.total.item() == pytest.approx(expected["loss"], abs=2e-6)
    np.testing.assert_allclose(features.grad.numpy(), arrays[f"grad_k{topk}_{tag}"], atol=1e-6)
    np.testing.assert_allclose(memory.centroids.numpy(), arrays[f"mem_k{topk}_{tag}_{update}_m{momentum}"], atol=1e-6)


@pytest.mark.parametrize(("case", "topk"), [("K4_k3", 3), ("K2_k1", 1)])
def test_few_clusters_equal_released_code(golden, case, topk):
    arrays, meta = golden("losses_few_clusters")
    features = leaf(arrays[f"feats_{case}"])
    memory = ClusterMemory(arrays[f"mem_before_{case}"], update_hard, meta["momentum"])
    degree = 0.5 * meta["cur_lambda"]
    terms = ise_objective(features, arrays[f"labels_{case}"], memory.centroids, degree, topk=topk)
    terms.total.backward()
    memory.update(terms.memory_features, terms.memory_labels)

    expected = meta["cases"][case]
    assert terms.logs["loss_contrast"].item() == pytest.approx(expected["loss_cc"], abs=2e-6)
    assert terms.logs["loss_lp"].item() == pytest.approx(expected["loss_lp"], abs=2e-6)
    assert terms.total.item() == pytest.approx(expected["loss"], abs=2e-6)
    supports = terms.memory_features.numpy()[len(features) :]
    np.testing.assert_allclose(supports, arrays[f"supports_{case}"], atol=1e-6)
    np.testing.assert_allclose(features.grad.numpy(), arrays[f"grad_{case}"], atol=1e-6)
    np.testing.assert_allclose(memory.centroids.numpy(), arrays[f"mem_{case}"], atol=1e-6)


@pytest.mark.parametrize(("case", "topk"), [("K2_k2", 2), ("K2_k3", 3)])
def test_two_clusters_do_not_repeat_the_only_support(golden, case, topk):
    """The released code repeats the one support topk times; here topk becomes 1 and every support counts once."""
    arrays, meta = golden("losses_few_clusters")
    features, centroids = paddle.to_tensor(arrays[f"feats_{case}"]), paddle.to_tensor(arrays[f"mem_before_{case}"])
    with pytest.warns(PpreidWarning, match="only 2 clusters exist"):
        usable = usable_topk(topk, 2)
    terms = ise_objective(features, arrays[f"labels_{case}"], centroids, 0.5 * meta["cur_lambda"], topk=usable)
    supports = terms.memory_features.numpy()[8:]
    np.testing.assert_allclose(np.repeat(supports, topk, axis=0), arrays[f"supports_{case}"], atol=1e-6)
    assert terms.logs["loss_lp"].item() == pytest.approx(meta["cases"][case]["loss_lp"], abs=2e-6)
    # the released contrast weighs supports topk times; the same losses, recombined, give its number
    samples, extended = (
        cluster_contrast_loss(rows, arrays[f"labels_{case}"], centroids).item()
        for rows in (features, paddle.to_tensor(supports))
    )
    assert (samples + topk * extended) / (1 + topk) == pytest.approx(meta["cases"][case]["loss_cc"], abs=2e-6)


@pytest.mark.parametrize(("case", "topk", "clusters"), [("K3_k3", 3, 3), ("K3_k4", 4, 3), ("K1_k1", 1, 1)])
def test_too_few_clusters_for_topk(golden, case, topk, clusters):
    """The released code stops with an indexing error; here the epoch goes on with the supports that exist."""
    arrays, meta = golden("losses_few_clusters")
    assert not meta["cases"][case]["ok"]
    features, labels = paddle.to_tensor(arrays[f"feats_{case}"]), arrays[f"labels_{case}"]
    centroids = paddle.to_tensor(arrays[f"mem_before_{case}"])
    with pytest.raises(TrainingError, match=f"{topk} other clusters asked for, {clusters - 1} exist"):
        ise_objective(features, labels, centroids, 0.15, topk=topk)
    with pytest.warns(PpreidWarning, match=f"only {clusters} clusters exist"):
        usable = usable_topk(topk, clusters)
    terms = ise_objective(features, labels, centroids, 0.15, topk=usable)
    assert terms.memory_features.shape[0] == 8 * clusters  # the samples and clusters - 1 supports of each
    assert np.isfinite(terms.total.item())


def test_rows_of_the_ablation(unit_rows):
    features, centroids, labels = unit_rows(6, 5, seed=1), unit_rows(4, 5, seed=2), np.array([0, 0, 1, 1, 3, 3])
    baseline = objective_at(features, labels, centroids, supports_in_contrast=False, label_preserving=False)
    pli = objective_at(features, labels, centroids, label_preserving=False)
    lp = objective_at(features, labels, centroids, supports_in_contrast=False, lp_weight=0.5)
    ise = objective_at(features, labels, centroids, lp_weight=0.5)

    assert set(baseline.logs) == set(pli.logs) == {"loss", "loss_contrast"}
    assert set(lp.logs) == set(ise.logs) == {"loss", "loss_contrast", "loss_lp"}
    # supports serve the LP loss only: contrast and memory are those of the baseline
    assert lp.logs["loss_contrast"].item() == baseline.total.item()
    for terms in (baseline, lp):
        assert (terms.memory_features.numpy() == features).all()
        assert terms.memory_labels.tolist() == labels.tolist()
    # supports below the samples
    supports, _ = support_samples(paddle.to_tensor(features), labels, paddle.to_tensor(centroids), degree=0.2, k=1)
    for terms in (pli, ise):
        assert (terms.memory_features.numpy() == np.concatenate([features, supports.numpy()])).all()
        assert terms.memory_labels.tolist() == [*labels, *labels]
    assert ise.logs["loss_contrast"].item() == pli.total.item()
    assert ise.logs["loss_lp"].item() == lp.logs["loss_lp"].item()
    assert ise.total.item() == pytest.approx(pli.total.item() + 0.5 * lp.logs["loss_lp"].item(), rel=1e-6)


def test_gradient_flows_into_features_only(unit_rows):
    features, centroids = leaf(unit_rows(4, 5)), leaf(unit_rows(3, 5, seed=1))
    terms = ise_objective(features, np.array([0, 1, 2, 0]), centroids, 0.2, topk=2)
    terms.total.backward()
    assert np.abs(features.grad.numpy()).max() > 0
    assert centroids.grad is None
    assert terms.memory_features.stop_gradient
    assert all(value.stop_gradient for value in terms.logs.values())


def test_no_supports_is_the_baseline(unit_rows):
    features, centroids, labels = unit_rows(4, 5), unit_rows(3, 5, seed=1), np.array([0, 1, 2, 0])
    without = objective_at(features, labels, centroids, topk=0)
    baseline = objective_at(features, labels, centroids, supports_in_contrast=False, label_preserving=False)
    assert without.total.item() == baseline.total.item()
    assert set(without.logs) == {"loss", "loss_contrast"}


def test_half_precision_features_give_float32_losses(unit_rows):
    features, centroids, labels = unit_rows(4, 8), unit_rows(3, 8, seed=1), np.array([0, 1, 2, 0])
    rounded = paddle.to_tensor(features).astype("float16")
    half = ise_objective(rounded, labels, paddle.to_tensor(centroids), 0.2)
    full = ise_objective(rounded.astype("float32"), labels, paddle.to_tensor(centroids), 0.2)
    assert half.total.dtype == half.memory_features.dtype == paddle.float32
    assert half.total.item() == full.total.item()


def test_labels_may_be_a_tensor(unit_rows):
    features, centroids, labels = unit_rows(4, 5), unit_rows(3, 5, seed=1), np.array([0, 1, 2, 0])
    with_array = objective_at(features, labels, centroids)
    with_tensor = objective_at(features, paddle.to_tensor(labels), centroids)
    assert with_array.total.item() == with_tensor.total.item()


def test_outlier_in_the_batch(unit_rows):
    with pytest.raises(TrainingError, match="1 of 2 labels have no centroid, for example -1"):
        objective_at(unit_rows(2, 4), np.array([0, -1]), unit_rows(3, 4))
