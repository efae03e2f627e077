"""Batch normalisation: the frozen bias, and ghost batch normalisation against a plain loop over chunks."""

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle import nn

from ppreid.base.errors import ConfigError
from ppreid.models.batch_norm import (
    FrozenBiasBatchNorm,
    GhostBatchNorm,
    interleave_chunks,
    restore_chunks,
    running_statistics_kept,
    use_ghost_batch_norm,
)

SHAPES = {"vectors": (12, 5), "maps": (12, 5, 4, 3)}
EPSILON = 1e-5
MOMENTUM = 0.9


def normal(rng, shape):
    return rng.standard_normal(shape).astype(np.float32)


def norm_layer(shape, rng):
    """A layer whose parameters and buffers are neither 0 nor 1."""
    norm = nn.BatchNorm1D(shape[1]) if len(shape) == 2 else nn.BatchNorm2D(shape[1])
    state = {name: 1.0 + 0.3 * normal(rng, [shape[1]]) ** 2 for name in norm.state_dict()}
    norm.set_state_dict(state)
    return norm


def run(norm, x, loss_weights, restore=lambda rows: rows):
    """Output, gradients and running statistics of one training step."""
    x.stop_gradient = False
    out = restore(norm(x))
    (out * loss_weights).sum().backward()
    return [t.numpy() for t in (out, norm.weight.grad, norm.bias.grad, norm._mean, norm._variance)]


def loop_over_chunks(norm, x, loss_weights, num_chunks):
    """The definition: every chunk is normalised alone, and the first one sets the running statistics."""
    rows = x.shape[0] // num_chunks
    start_mean, start_variance = norm._mean.clone(), norm._variance.clone()
    outputs = []
    for chunk in range(num_chunks):
        norm._mean.set_value(start_mean)
        norm._variance.set_value(start_variance)
        outputs.append(norm(x[chunk * rows : (chunk + 1) * rows]))
        if chunk == 0:
            kept_mean, kept_variance = norm._mean.numpy(), norm._variance.numpy()
    out = paddle.concat(outputs)
    (out * loss_weights).sum().backward()
    return [out.numpy(), norm.weight.grad.numpy(), norm.bias.grad.numpy(), kept_mean, kept_variance]


@pytest.mark.parametrize("num_chunks", [2, 3, 6])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_ghost_equals_a_loop_over_chunks(shape, num_chunks):
    rng = np.random.default_rng(num_chunks)
    # Chunks of very different scale: mixing them up, or using another chunk's statistics, cannot go unnoticed.
    scale = np.repeat(10.0 ** np.arange(num_chunks), shape[0] // num_chunks).reshape([-1] + [1] * (len(shape) - 1))
    values = (scale * normal(rng, shape) + scale).astype(np.float32)
    loss_weights = paddle.to_tensor(normal(rng, shape))
    plain = norm_layer(shape, rng)
    ghost_source = norm_layer(shape, rng)
    ghost_source.set_state_dict(plain.state_dict())

    x_loop = paddle.to_tensor(values, stop_gradient=False)
    expected = loop_over_chunks(plain, x_loop, loss_weights, num_chunks)
    x_ghost = paddle.to_tensor(values, stop_gradient=False)
    ghost = GhostBatchNorm(ghost_source, num_chunks)
    out = restore_chunks(ghost(interleave_chunks(x_ghost, num_chunks)), num_chunks)
    (out * loss_weights).sum().backward()
    found = [t.numpy() for t in (out, ghost.weight.grad, ghost.bias.grad, ghost._mean, ghost._variance)]

    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(x_ghost.grad.numpy() * scale, x_loop.grad.numpy() * scale, rtol=1e-3, atol=1e-4)


def test_ghost_in_numbers():
    ghost = GhostBatchNorm(nn.BatchNorm1D(1), num_chunks=2)
    rows = paddle.to_tensor([[1.0], [3.0], [10.0], [50.0]])  # chunks {1, 3} and {10, 50}

    out = restore_chunks(ghost(interleave_chunks(rows, 2)), 2).numpy().ravel()

    np.testing.assert_allclose(out, [-1, 1, -1, 1], atol=1e-4)
    assert ghost._mean.item() == pytest.approx((1 - MOMENTUM) * 2.0)  # of the first chunk alone
    assert ghost._variance.item() == pytest.approx(MOMENTUM * 1.0 + (1 - MOMENTUM) * 1.0)  # biased variance, 1


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_ghost_in_evaluation_is_the_plain_layer(shape):
    rng = np.random.default_rng(0)
    plain = norm_layer(shape, rng)
    ghost = GhostBatchNorm(plain, num_chunks=5)
    plain.eval()
    ghost.eval()
    x = paddle.to_tensor(normal(rng, shape))  # 12 rows: evaluation does not care for 5 chunks

    np.testing.assert_array_equal(ghost(x).numpy(), plain(x).numpy())


def test_one_chunk_is_the_plain_layer():
    rng = np.random.default_rng(0)
    shape = SHAPES["maps"]
    plain, source = norm_layer(shape, rng), norm_layer(shape, rng)
    source.set_state_dict(plain.state_dict())
    x, loss_weights = paddle.to_tensor(normal(rng, shape)), paddle.to_tensor(normal(rng, shape))

    for actual, wanted in zip(
        run(GhostBatchNorm(source, 1), x.clone(), loss_weights), run(plain, x.clone(), loss_weights), strict=True
    ):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-6)


def test_use_ghost_batch_norm_keeps_names_values_and_parameters():
    model = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4), nn.Sequential(nn.BatchNorm2D(4)), nn.InstanceNorm2D(4))
    before = model.state_dict()
    parameters = {name: id(p) for name, p in model.named_parameters()}

    use_ghost_batch_norm(model, 2)

    assert isinstance(model[1], GhostBatchNorm)
    assert isinstance(model[2][0], GhostBatchNorm)
    assert isinstance(model[3], nn.InstanceNorm2D)
    assert list(model.state_dict()) == list(before)
    assert {name: id(p) for name, p in model.named_parameters()} == parameters


@settings(max_examples=20, deadline=None)
@given(num_chunks=st.integers(1, 5), rows=st.integers(1, 5))
def test_interleaving_puts_chunk_r_mod_n_in_row_r_and_can_be_undone(num_chunks, rows):
    chunk_of_row = np.repeat(np.arange(num_chunks), rows)
    x = paddle.to_tensor(np.stack([chunk_of_row, np.arange(num_chunks * rows)], axis=1))

    interleaved = interleave_chunks(x, num_chunks)

    np.testing.assert_array_equal(interleaved.numpy()[:, 0], np.arange(num_chunks * rows) % num_chunks)
    np.testing.assert_array_equal(restore_chunks(interleaved, num_chunks).numpy(), x.numpy())


def test_a_batch_that_cannot_be_split_is_an_error():
    with pytest.raises(ConfigError, match=r"batch of 10 images cannot be split into model\.bn_chunks=4"):
        interleave_chunks(paddle.zeros([10, 3]), 4)


@pytest.mark.parametrize("num_chunks", [1, 2])
def test_frozen_bias_stays_while_the_weight_learns(num_chunks):
    rng = np.random.default_rng(0)
    neck = FrozenBiasBatchNorm(3)
    norm = neck if num_chunks == 1 else GhostBatchNorm(neck, num_chunks)
    neck.bias.set_value(np.full(3, 0.5, np.float32))
    optimizer = paddle.optimizer.Adam(0.1, parameters=norm.parameters(), weight_decay=0.1)
    x = paddle.to_tensor(normal(rng, (8, 3)))

    (norm(x) ** 3).sum().backward()
    optimizer.step()

    np.testing.assert_array_equal(norm.bias.numpy(), np.full(3, 0.5))
    np.testing.assert_allclose(np.abs(norm.weight.numpy() - 1.0), 0.1, rtol=1e-3)


def test_frozen_bias_layer_equals_the_ordinary_one():
    rng = np.random.default_rng(0)
    frozen, plain = FrozenBiasBatchNorm(5), norm_layer((12, 5), rng)
    frozen.set_state_dict(plain.state_dict())
    values = normal(rng, (12, 5))
    results = []
    for norm in (frozen, plain):
        x = paddle.to_tensor(values, stop_gradient=False)
        out = norm(x)
        (out**3).sum().backward()
        trained = [t.numpy() for t in (out, x.grad, norm.weight.grad, norm._mean, norm._variance)]
        norm.eval()
        results.append([*trained, norm(x).numpy()])
    for actual, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "frozen", "ghost"])
def test_running_statistics_are_kept_in_the_block_even_after_nan(kind):
    norm = FrozenBiasBatchNorm(2) if kind == "frozen" else nn.BatchNorm1D(2)
    model = nn.Sequential(GhostBatchNorm(norm, 2) if kind == "ghost" else norm)
    rows = paddle.to_tensor([[1.0, 2.0], [3.0, 5.0], [2.0, 2.0], [1.0, 7.0]])
    model(rows)
    before = [norm._mean.numpy(), norm._variance.numpy()]
    with running_statistics_kept(model):
        model(rows * float("nan")).sum().backward()
        assert np.isnan(norm._mean.numpy()).all()
    for value, wanted in zip((norm._mean, norm._variance), before, strict=True):
        np.testing.assert_array_equal(value.numpy(), wanted)
    model(rows)
    assert (norm._mean.numpy() != before[0]).all()
