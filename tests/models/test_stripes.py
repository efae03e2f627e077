"""Stripes of an image whose rows stand beside that of the whole in the feature."""

import numpy as np
import paddle
import pytest

from ppreid.export.inference import inference_forward
from ppreid.models.reid_net import GeMPool, ReIDNet, average_pool, max_pool
from ppreid.models.resnet import resnet


class Maps(paddle.nn.Layer):
    """A backbone that gives the maps (B, 5, h, 2) that it was made with."""

    feature_dim = 5

    def __init__(self, height):
        super().__init__()
        rng = np.random.default_rng(height)
        self.maps = paddle.to_tensor(rng.random((4, 5, height, 2)).astype(np.float32))

    def forward(self, images):
        return self.maps


IMAGES = paddle.zeros([4, 3, 8, 4])


def unit(row):
    return row / np.sqrt((row**2).sum())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("height", "edges"),
    [
        (8, [(0, 2), (2, 4), (4, 6), (6, 8)]),
        (6, [(0, 2), (1, 3), (3, 5), (4, 6)]),  # the second stripe ends in the middle of a row, which two share
        (2, [(0, 1), (0, 1), (1, 2), (1, 2)]),  # fewer rows than stripes
    ],
)
def test_rows_of_the_whole_and_of_each_stripe_in_a_plain_loop(training, height, edges):
    net = ReIDNet(Maps(height), stripes=4)
    net.train() if training else net.eval()
    maps, necks = net.backbone.maps.numpy(), [net.neck, *net.stripe_necks]
    expected = []
    for (top, bottom), neck in zip([(0, height), *edges], necks, strict=True):
        pooled = np.array([[maps[i, c, top:bottom].mean() for c in range(5)] for i in range(4)])
        columns = []
        for c in range(5):
            mean, variance = pooled[:, c].mean(), pooled[:, c].var()
            if not training:
                mean, variance = float(neck._mean[c]), float(neck._variance[c])
            columns.append((pooled[:, c] - mean) / np.sqrt(variance + 1e-5))
        expected.append([unit(row) for row in np.stack(columns, axis=1)])
    expected = np.concatenate(expected, axis=1) / (1.0 if training else np.sqrt(5))
    assert net.feature_dim == 25
    np.testing.assert_allclose(net(IMAGES).numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("pooling", [average_pool, max_pool, GeMPool()])
def test_features_have_length_one_whatever_pools(pooling):
    net = ReIDNet(Maps(8), pooling=pooling, embedding_dim=7, stripes=2)
    net.eval()
    features = net(IMAGES)
    assert features.shape == [4, 21]
    np.testing.assert_allclose(np.linalg.norm(features.numpy(), axis=1), 1.0, rtol=1e-5)


def test_a_single_stripe_is_the_network_as_it_was():
    net = ReIDNet(Maps(8), stripes=1)
    assert list(net.state_dict()) == list(ReIDNet(Maps(8)).state_dict())
    assert net.feature_dim == 5


def test_paddle_inference_gives_the_same_features():
    paddle.seed(0)
    net = ReIDNet(resnet(18, base_width=4), stripes=3)
    net.eval()
    images = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 64, 32)).astype(np.float32))
    np.testing.assert_allclose(inference_forward(net, images, precision="float32")(images), net(images), atol=1e-5)
