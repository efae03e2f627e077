"""Stochastic depth: the rule, and draws that are the same however a batch comes."""

import numpy as np
import paddle
import pytest
from models.vit_goldens import golden

from ppreid.models.drop_path import StepDraws, path_scales
from ppreid.models.reid_net import ReIDNet, no_pooling
from ppreid.models.vit import vit
from ppreid.training.step import start_draws


@pytest.mark.parametrize("case", ["0", "1"])
def test_the_rule_is_the_released_one(case):
    arrays, meta = golden("vit_pieces")
    draws = paddle.to_tensor(arrays[f"drop{case}_uniform"])  # (B, 1, 1): one block of one branch
    scales = path_scales(draws, [meta["drop_path"][case]]).numpy()
    np.testing.assert_allclose(scales * arrays[f"drop{case}_x"], arrays[f"drop{case}_y"], rtol=0, atol=2e-6)


def test_rates_grow_from_none_to_the_whole():
    _, meta = golden("vit_pieces")
    rates = vit(base_width=2, drop_path=0.3).drop_rates
    np.testing.assert_allclose(rates, meta["drop_path_rates_depth12_rate0.3"], rtol=0, atol=1e-7)


def test_a_rate_of_zero_keeps_all_and_the_mean_is_one():
    draws = paddle.to_tensor(np.random.default_rng(0).random((4000, 3, 2), dtype=np.float32))
    scales = path_scales(draws, [0.0, 0.3, 0.8]).numpy()
    np.testing.assert_array_equal(scales[:, 0], 1)
    assert set(np.unique(scales[:, 1])) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    np.testing.assert_allclose(scales.mean((0, 2)), 1, atol=0.05)


def test_draws_depend_on_seed_and_step_only():
    def rows(seed, step):
        draws = StepDraws(3, seed=seed)
        draws.start(step, 4)
        return draws.take(4).numpy()

    np.testing.assert_array_equal(rows(1, 7), rows(1, 7))
    assert not np.array_equal(rows(1, 7), rows(1, 8))
    assert not np.array_equal(rows(1, 7), rows(2, 7))


def test_parts_and_processes_get_the_rows_of_the_whole_batch():
    whole = StepDraws(5, seed=3)
    whole.start(2, 8)
    expected = whole.take(8).numpy()
    np.testing.assert_array_equal(whole.take(8).numpy(), expected)  # a second pass

    parts = StepDraws(5, seed=3)
    parts.start(2, 8)
    twice = np.concatenate([parts.take(2).numpy() for _ in range(8)])
    np.testing.assert_array_equal(twice, np.concatenate([expected, expected]))

    ranks = [StepDraws(5, seed=3, rank=rank, num_ranks=4) for rank in range(4)]
    for each in ranks:
        each.start(2, 8)
    np.testing.assert_array_equal(np.concatenate([each.take(2).numpy() for each in ranks]), expected)


def net_with_drop_path(bn_chunks=1):
    paddle.seed(0)
    backbone = vit(height=32, width=16, base_width=2, depth=3, drop_path=0.9)
    return ReIDNet(backbone, pooling=no_pooling, bn_chunks=bn_chunks, draws=StepDraws(backbone.num_draws, seed=5))


def images(count=8):
    return paddle.to_tensor(np.random.default_rng(1).standard_normal((count, 3, 32, 16)).astype(np.float32))


def test_the_network_by_hand():
    net = net_with_drop_path()
    backbone = net.backbone
    start_draws(net, 4, 8)
    found = net.pooled(images()).numpy()
    by_hand = StepDraws(backbone.num_draws, seed=5)
    by_hand.start(4, 8)
    draws = by_hand.take(8).numpy().reshape(8, 3, 2)
    for image in range(8):
        x = backbone.patch_embed(images()[image : image + 1]).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([backbone.cls_token, x], axis=1) + backbone.pos_embed
        for block, rate in zip(backbone.blocks, (0.0, 0.45, 0.9), strict=True):
            number = list(backbone.blocks).index(block)
            for branch, norm, draw in zip(
                (block.attn, block.mlp), (block.norm1, block.norm2), draws[image, number], strict=True
            ):
                if draw >= rate:
                    x = x + branch(norm(x)) / (1 - rate)
        np.testing.assert_allclose(found[image], backbone.norm(x)[0, 0].numpy(), rtol=0, atol=1e-5)


def test_chunks_do_not_change_what_an_image_goes_without():
    pooled = []
    for chunks in (1, 4):
        net = net_with_drop_path(chunks)
        start_draws(net, 4, 8)
        pooled.append(net.pooled(images()).numpy())
    np.testing.assert_allclose(pooled[1], pooled[0], rtol=0, atol=1e-6)


def test_evaluation_goes_through_everything():
    net = net_with_drop_path()
    net.eval()
    np.testing.assert_array_equal(net.pooled(images()).numpy(), net.backbone(images()).numpy())


def test_without_a_start_there_are_draws_too():
    net, started = net_with_drop_path(), net_with_drop_path()
    start_draws(started, 0, 8)
    np.testing.assert_array_equal(net.pooled(images()).numpy(), started.pooled(images()).numpy())
    start_draws(paddle.nn.Linear(2, 2), 0, 8)  # a network that draws nothing
