import math

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import TrainingError
from ppreid.ise.objective import hardest_negative_supports, hardest_positive_support, label_preserving_loss


def loss_oracle(features, labels, support, support_labels, temperature):
    """The formula in plain loops, float64."""
    costs = []
    for feature, label in zip(features.astype(np.float64), labels, strict=True):
        by_class = {}
        for row, row_label in zip(support.astype(np.float64), support_labels, strict=True):
            by_class.setdefault(row_label, []).append(math.exp(float(feature @ row) / temperature))
        positive = min(by_class.pop(label))
        negative = sum(max(values) for values in by_class.values())
        costs.append(-math.log(positive / (positive + negative + 1e-6) + 1e-6))
    return sum(costs) / len(costs)


def as_tensors(features, support):
    return paddle.to_tensor(features), paddle.to_tensor(support)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 0, 0, 1, 1, 1, 2, 2, 2],  # P x K
        [2, 0, 1, 0, 2, 2, 1, 0, 1],  # shuffled
        [5, 5, 5, 5, 9, 1, 1, 3, 5],  # singletons and one large class
        [0, 1, 2, 3, 4, 5, 6, 7, 8],  # singletons only
        [4, 4, 4, 4, 4, 4, 4, 4, 4],  # one class
    ],
)
@pytest.mark.parametrize("topk", [1, 3])
def test_loss_equals_loop(unit_rows, labels, topk):
    labels = np.array(labels)
    features, support = unit_rows(9, 5, seed=1), unit_rows(9 * topk, 5, seed=2)
    support_labels = np.repeat(labels, topk)
    loss = label_preserving_loss(paddle.to_tensor(features), labels, paddle.to_tensor(support), support_labels)
    expected = loss_oracle(features, labels, support, support_labels, 0.6)
    assert loss.item() == pytest.approx(expected, abs=2e-6)


def test_loss_at_chosen_angles(at_angles):
    # the sample at 0 degrees: farthest own support at 60, nearest others at 90 (class 1) and 180 (class 2)
    features, support = as_tensors(at_angles(0), at_angles(0, 60, 90, 120, 180))
    loss = label_preserving_loss(features, np.array([0]), support, np.array([0, 0, 1, 1, 2]), temperature=0.5)
    positive, negative = math.exp(1.0), math.exp(0.0) + math.exp(-2.0)
    assert loss.item() == pytest.approx(-math.log(positive / (positive + negative)), abs=3e-6)


def test_each_term_looks_at_its_classes_only():
    by_class = paddle.to_tensor([[[2.0, 1.0], [3.0, 5.0], [0.5, 4.0]]])  # one sample, three classes of two supports
    own = paddle.to_tensor([[0.0, 1.0, 0.0]])
    assert hardest_positive_support(by_class, own).tolist() == [3.0]  # the minimum of its class
    assert hardest_negative_supports(by_class, own).tolist() == [2.0 + 4.0]  # the maxima of the others


def test_gradient_reaches_one_support_per_class(at_angles):
    features, support = as_tensors(at_angles(0), at_angles(5, 60, 90, 120, 170, 180))
    support.stop_gradient = False
    label_preserving_loss(features, np.array([0]), support, np.array([0, 0, 1, 1, 2, 2])).backward()
    moved = np.abs(support.grad.numpy()).max(axis=1) > 0
    assert moved.tolist() == [False, True, True, False, True, False]


def test_equal_supports_count_once(at_angles):
    # at degree 0 the supports of a sample coincide; together they pull as one
    gradients = []
    for angles, support_labels in ([(60, 60, 90), (0, 0, 1)], [(60, 90), (0, 1)]):
        features, support = as_tensors(at_angles(0), at_angles(*angles))
        support.stop_gradient = False
        label_preserving_loss(features, np.array([0]), support, np.array(support_labels)).backward()
        gradients.append(support.grad.numpy())
    np.testing.assert_allclose(gradients[0][:2].sum(axis=0), gradients[1][0], rtol=1e-5)
    np.testing.assert_allclose(gradients[0][2], gradients[1][1], rtol=1e-5)


def test_gradient_equals_finite_differences(unit_rows):
    labels = np.array([0, 1, 2, 2])  # two classes of a single support: reductions over padding
    features, support = unit_rows(4, 3, seed=1), unit_rows(4, 3, seed=2)
    leaf = paddle.to_tensor(features, stop_gradient=False)
    label_preserving_loss(leaf, labels, paddle.to_tensor(support), labels).backward()
    for row, column in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[row, column] = 1e-6
        above, below = (loss_oracle(features + sign * step, labels, support, labels, 0.6) for sign in (1, -1))
        assert leaf.grad.numpy()[row, column] == pytest.approx((above - below) / 2e-6, abs=1e-5)


def test_gradient_with_one_support_per_class(at_angles):
    features, support = as_tensors(at_angles(0), at_angles(60, 90))
    features.stop_gradient = False
    label_preserving_loss(features, np.array([0]), support, np.array([0, 1]), temperature=1.0).backward()
    share = math.exp(0.0) / (math.exp(0.0) + math.exp(0.5))  # of the negative class
    expected = share * (at_angles(90) - at_angles(60))
    np.testing.assert_allclose(features.grad.numpy(), expected, atol=1e-5)


@given(order=st.permutations(range(8)), support_order=st.permutations(range(16)))
@settings(max_examples=25, deadline=None)
def test_order_of_the_batch_does_not_matter(order, support_order):
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    features, support = (rng.standard_normal((rows, 4)).astype(np.float32) / 2 for rows in (8, 16))
    support_labels = np.repeat(labels, 2)
    reference = label_preserving_loss(paddle.to_tensor(features), labels, paddle.to_tensor(support), support_labels)
    order, support_order = np.array(order), np.array(support_order)
    permuted = label_preserving_loss(
        paddle.to_tensor(features[order]),
        labels[order],
        paddle.to_tensor(support[support_order]),
        support_labels[support_order],
    )
    assert permuted.item() == pytest.approx(reference.item(), abs=1e-6)


def test_sample_without_support(unit_rows):
    features, support = as_tensors(unit_rows(3, 4), unit_rows(2, 4))
    with pytest.raises(TrainingError, match="2 classes of the batch have no support sample, for example 4"):
        label_preserving_loss(features, np.array([1, 4, 6]), support, np.array([1, 1]))
