import math
from itertools import pairwise

import numpy as np
import paddle
import pytest

from ppreid.base.errors import ConfigError, PpreidWarning, TrainingError
from ppreid.ise.support_samples import nearest_other_centroids, pli_degree, support_samples, usable_topk


def support_oracle(features, labels, centroids, degree, k):
    """One support after the other, in float64."""
    supports = []
    for feature, label in zip(features.astype(np.float64), labels, strict=True):
        similarity = centroids.astype(np.float64) @ feature
        similarity[label] = -np.inf
        for neighbour in np.argsort(-similarity, kind="stable")[:k]:
            support = feature + degree * (centroids[neighbour] - centroids[label])
            supports.append(support / np.linalg.norm(support))
    return np.array(supports)


@pytest.mark.parametrize(("tag", "topk"), [("half", 1), ("mid", 1), ("zero", 1), ("half", 2), ("mid", 2), ("mid", 3)])
def test_supports_equal_released_code(golden, tag, topk):
    arrays, meta = golden("losses_P4x16")
    features, centroids = paddle.to_tensor(arrays["feats"]), paddle.to_tensor(arrays["mem_before"])
    degree = 0.5 * meta["cur_lambda"][tag]
    supports, labels = support_samples(features, arrays["labels"], centroids, degree=degree, k=topk)
    np.testing.assert_allclose(supports.numpy(), arrays[f"supports_k{topk}_{tag}"], atol=1e-6)
    assert labels.tolist() == np.repeat(arrays["labels"], topk).tolist()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_supports_equal_loop(unit_rows, k):
    features, centroids = unit_rows(7, 6, seed=1), unit_rows(5, 6, seed=2)
    labels = np.array([4, 0, 0, 2, 1, 3, 4])
    supports, _ = support_samples(paddle.to_tensor(features), labels, paddle.to_tensor(centroids), degree=0.2, k=k)
    np.testing.assert_allclose(supports.numpy(), support_oracle(features, labels, centroids, 0.2, k), atol=1e-6)


def test_neighbours_at_chosen_angles(at_angles):
    centroids = paddle.to_tensor(at_angles(0, 40, 100, 200))
    nearest = nearest_other_centroids(paddle.to_tensor(at_angles(10, 10, 90)), np.array([0, 1, 2]), centroids, 2)
    assert nearest.tolist() == [[1, 2], [0, 2], [1, 0]]  # never the own cluster, even when it is the nearest


def test_full_degree_of_an_exact_member_lands_on_the_neighbour(at_angles):
    centroids = paddle.to_tensor(at_angles(0, 60))
    supports, _ = support_samples(centroids[:1], np.array([0]), centroids, degree=1.0, k=1)
    np.testing.assert_allclose(supports.numpy(), at_angles(60), atol=1e-6)


def test_degree_zero_returns_the_samples(unit_rows):
    features = unit_rows(4, 8)
    supports, labels = support_samples(
        paddle.to_tensor(features), np.array([0, 1, 2, 0]), paddle.to_tensor(unit_rows(3, 8, seed=5)), degree=0.0, k=2
    )
    np.testing.assert_allclose(supports.numpy(), np.repeat(features, 2, axis=0), atol=1e-6)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 0]


def test_labels_may_be_a_tensor(unit_rows):
    features, centroids = paddle.to_tensor(unit_rows(3, 4)), paddle.to_tensor(unit_rows(3, 4, seed=1))
    labels = np.array([2, 0, 1])
    with_array = support_samples(features, labels, centroids, degree=0.1, k=1)
    with_tensor = support_samples(features, paddle.to_tensor(labels), centroids, degree=0.1, k=1)
    assert (with_array[0].numpy() == with_tensor[0].numpy()).all()
    assert with_tensor[1].tolist() == labels.tolist()


@pytest.mark.parametrize(("k", "clusters"), [(0, 3), (3, 3), (1, 1)])
def test_not_enough_clusters(unit_rows, k, clusters):
    features, centroids = paddle.to_tensor(unit_rows(2, 4)), paddle.to_tensor(unit_rows(clusters, 4))
    with pytest.raises(TrainingError, match=f"{k} other clusters asked for, {clusters - 1} exist"):
        nearest_other_centroids(features, np.array([0, 0]), centroids, k)


def test_usable_topk():
    assert usable_topk(2, 3) == 2
    with pytest.warns(PpreidWarning, match="only 3 clusters exist; 2 supports per image"):
        assert usable_topk(4, 3) == 2
    with pytest.warns(PpreidWarning, match="only 1 clusters exist; 0 supports per image"):
        assert usable_topk(1, 1) == 0
    with pytest.raises(ConfigError, match=r"ise\.topk is 0"):
        usable_topk(0, 5)


def test_degree_is_half_of_the_released_lambda(golden):
    # the released loop logs lambda before the second factor 0.5
    rows = golden("lambda_schedule")[0]["rows"]
    for epochs, iters, base, epoch, step, expected in rows:
        degree = pli_degree(int(epoch * iters + step), int(epochs * iters), base=base)
        assert 2.0 * degree == pytest.approx(expected, abs=1e-12)


def test_degree_runs_from_zero_to_a_quarter():
    assert pli_degree(0, 100) == 0.0
    assert pli_degree(100, 100) == pytest.approx(0.25, abs=1e-15)
    assert pli_degree(100, 100, base=2.0) == pytest.approx(0.5, abs=1e-15)
    assert pli_degree(50, 100) == pytest.approx(0.25 * math.log((math.e - 1) / 2 + 1), abs=1e-15)


def test_degree_grows_ever_slower():
    degrees = [pli_degree(step, 50) for step in range(51)]
    growth = [later - earlier for earlier, later in pairwise(degrees)]
    assert all(value > 0 for value in growth)
    assert growth == sorted(growth, reverse=True)


@pytest.mark.parametrize(("step", "total"), [(-1, 10), (11, 10), (0, 0)])
def test_step_out_of_range(step, total):
    with pytest.raises(TrainingError, match=rf"step {step} of {total}"):
        pli_degree(step, total)
