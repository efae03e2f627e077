"""ReIDNet: unit vectors, a frozen neck bias, and training in chunks that is invisible from outside."""

import numpy as np
import paddle
import pytest

from ppreid.base.errors import ConfigError
from ppreid.models.reid_net import GeMPool, ReIDNet, max_pool
from ppreid.models.resnet import resnet


def images(batch):
    return paddle.to_tensor(np.random.default_rng(0).standard_normal((batch, 3, 64, 32)).astype(np.float32))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    "options",
    [{}, {"pooling": max_pool}, {"embedding_dim": 24}, {"bn_chunks": 2}],
    ids=lambda options: "-".join(options) or "plain",
)
def test_rows_have_length_one(tiny_net, mode, options):
    net = tiny_net(**options)
    getattr(net, mode)()
    features = net(images(4))
    assert features.shape == [4, net.feature_dim]
    assert net.feature_dim == options.get("embedding_dim", 64)
    np.testing.assert_allclose(np.linalg.norm(features.numpy(), axis=1), 1.0, rtol=1e-5)


def test_evaluation_written_out(tiny_net):
    net = tiny_net(embedding_dim=24)
    rng = np.random.default_rng(0)
    net.neck.set_state_dict({n: rng.uniform(0.5, 2, 24).astype(np.float32) for n in net.neck.state_dict()})
    net.eval()
    pooled = net.pooled(images(3)).numpy()

    np.testing.assert_allclose(pooled, net.backbone(images(3)).numpy().mean((2, 3)), rtol=1e-5, atol=1e-6)
    weight, bias, mean, variance = (t.numpy() for t in net.neck.state_dict().values())
    neck = (pooled @ net.embedding.weight.numpy() - mean) / np.sqrt(variance + 1e-5) * weight + bias
    expected = neck / np.linalg.norm(neck, axis=1, keepdims=True)
    np.testing.assert_allclose(net(images(3)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_zero_vector_stays_zero(tiny_net):
    net = tiny_net()
    net.neck.weight.set_value(np.zeros(64, np.float32))
    net.eval()
    np.testing.assert_array_equal(net(images(2)).numpy(), np.zeros((2, 64)))


def test_state_dict_names(tiny_net):
    names = list(tiny_net(pooling=GeMPool(), embedding_dim=24).state_dict())
    assert names[0] == "backbone.conv1.weight"
    assert names[-6:] == ["pooling.p", "embedding.weight", "neck.weight", "neck.bias", "neck._mean", "neck._variance"]


@pytest.mark.parametrize("bn_chunks", [1, 2])
def test_everything_learns_except_the_bias_of_the_neck(tiny_net, bn_chunks):
    net = tiny_net(pooling=GeMPool(), embedding_dim=24, bn_chunks=bn_chunks)
    before = {name: p.numpy() for name, p in net.named_parameters()}
    optimizer = paddle.optimizer.Adam(1e-3, parameters=net.parameters(), weight_decay=5e-4)
    (net(images(8)) * paddle.linspace(-1, 1, 24)).sum().backward()
    optimizer.step()

    unchanged = {n for n, p in net.named_parameters() if np.array_equal(p.numpy(), before[n])}
    assert unchanged == {"neck.bias"}


def test_chunks_are_trained_as_by_separate_networks(tiny_net):
    x = images(12)
    chunked = tiny_net(bn_chunks=3)
    features, found_mean = chunked(x), chunked.neck._mean.numpy()
    pooled = chunked.pooled(x)

    for chunk in range(3):
        rows = slice(4 * chunk, 4 * chunk + 4)
        alone = tiny_net()
        np.testing.assert_allclose(features[rows].numpy(), alone(x[rows]).numpy(), rtol=1e-3, atol=1e-4)
        if chunk == 0:
            np.testing.assert_allclose(found_mean, alone.neck._mean.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(pooled[rows].numpy(), alone.pooled(x[rows]).numpy(), rtol=1e-3, atol=1e-4)


def test_chunked_and_plain_networks_share_weights_files_and_evaluation(tiny_net):
    chunked, plain = tiny_net(bn_chunks=4), tiny_net()
    chunked(images(8))
    assert list(chunked.state_dict()) == list(plain.state_dict())
    plain.set_state_dict(chunked.state_dict())
    chunked.eval()
    plain.eval()
    np.testing.assert_array_equal(chunked(images(3)).numpy(), plain(images(3)).numpy())


def test_a_batch_that_cannot_be_split_is_an_error(tiny_net):
    with pytest.raises(ConfigError, match=r"batch of 6 images.*bn_chunks=4.*multiple of 4"):
        tiny_net(bn_chunks=4)(images(6))


def test_the_seed_decides_the_embedding():
    paddle.seed(1)
    weight = ReIDNet(resnet(18, base_width=32), embedding_dim=512).embedding.weight.numpy()
    paddle.seed(1)
    again = ReIDNet(resnet(18, base_width=32), embedding_dim=512, bn_chunks=2).embedding.weight.numpy()
    np.testing.assert_array_equal(weight, again)
    assert weight.std() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
