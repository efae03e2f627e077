import math

import numpy as np
import paddle
import pytest

from ppreid.ise.objective import cluster_contrast_loss


def test_loss_equals_loop(unit_rows):
    features, centroids, labels = unit_rows(6, 5, seed=1), unit_rows(4, 5, seed=2), np.array([3, 0, 0, 1, 2, 3])
    costs = []
    for feature, label in zip(features.astype(np.float64), labels, strict=True):
        logits = [float(feature @ centroid) / 0.05 for centroid in centroids]
        costs.append(math.log(sum(math.exp(value - logits[label]) for value in logits)))
    loss = cluster_contrast_loss(paddle.to_tensor(features), labels, paddle.to_tensor(centroids))
    assert loss.item() == pytest.approx(sum(costs) / 6, rel=1e-5)


def test_loss_at_chosen_angles(at_angles):
    # 0 degrees from its own centroid and 90 from the other: logits 2 and 0
    centroids = paddle.to_tensor(at_angles(0, 90))
    loss = cluster_contrast_loss(paddle.to_tensor(at_angles(0)), np.array([0]), centroids, temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


def test_length_of_features_does_not_matter(unit_rows):
    features, centroids, labels = unit_rows(4, 5), paddle.to_tensor(unit_rows(3, 5, seed=1)), np.array([0, 1, 2, 0])
    unit, scaled = (
        cluster_contrast_loss(paddle.to_tensor(rows), labels, centroids).item() for rows in (features, 7 * features)
    )
    assert scaled == pytest.approx(unit, rel=1e-5)


def test_single_cluster_costs_nothing(unit_rows):
    loss = cluster_contrast_loss(paddle.to_tensor(unit_rows(3, 4)), np.zeros(3, int), paddle.to_tensor(unit_rows(1, 4)))
    assert loss.item() == 0.0
