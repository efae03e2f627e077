"""Pooling in numbers that can be checked by hand."""

import numpy as np
import paddle
import pytest

from ppreid.models.reid_net import GeMPool, average_pool, max_pool


def maps(values):
    """One image, one channel, one row of positions."""
    return paddle.to_tensor(np.array(values, np.float32).reshape(1, 1, 1, -1))


@pytest.mark.parametrize(
    ("pool", "expected"),
    [(average_pool, 2.5), (max_pool, 4.0), (GeMPool(), 25.0 ** (1 / 3)), (GeMPool(p=1.0), 2.5)],
    ids=["avg", "max", "gem", "gem with p 1"],
)
def test_one_to_four(pool, expected):
    out = pool(maps([1, 2, 3, 4]))
    assert out.shape == [1, 1]
    assert out.item() == pytest.approx(expected, rel=1e-6)  # gem: (1 + 8 + 27 + 64) / 4 = 25


def test_images_and_channels_are_pooled_apart():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(average_pool(paddle.to_tensor(x)).numpy(), x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(max_pool(paddle.to_tensor(x)).numpy(), x.max((2, 3)))
    gem = np.cbrt((np.maximum(x, 1e-6) ** 3).mean((2, 3)))
    np.testing.assert_allclose(GeMPool()(paddle.to_tensor(x)).numpy(), gem, rtol=1e-5)


def test_gem_tends_to_the_maximum():
    assert GeMPool(p=60.0)(maps([0.25, 0.5, 1.0])).item() == pytest.approx(1.0, rel=0.03)


def test_gem_learns_its_exponent_even_from_empty_maps():
    pool = GeMPool()
    x = maps([0, 0, 0, 0])
    x.stop_gradient = False
    pool(x).sum().backward()
    assert np.isfinite(pool.p.grad.numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()

    pool.clear_gradients()
    pool(maps([1, 2, 3, 4])).sum().backward()
    steps = [GeMPool(p=p)(maps([1, 2, 3, 4])).item() for p in (2.99, 3.01)]
    assert pool.p.grad.item() == pytest.approx((steps[1] - steps[0]) / 0.02, rel=1e-2)


def test_one_of_several_tied_maxima_receives_the_gradient():
    x = maps([2, 7, 7])
    x.stop_gradient = False
    max_pool(x).sum().backward()
    assert sorted(x.grad.numpy().ravel().tolist()) == [0.0, 0.0, 1.0]
