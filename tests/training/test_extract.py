import numpy as np
import paddle
import pytest

from ppreid.base.errors import DataError, TrainingError
from ppreid.training.extract import extract_features


class FakeLoader:
    """Rows of a fixed array in given batches; the "images" are the rows themselves."""

    def __init__(self, batches, num_images):
        self.batches = batches
        self.num_images, self.rows = num_images, range(num_images)
        self.values = np.arange(num_images * 3, dtype=np.float32).reshape(num_images, 3)

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for rows in self.batches:
            yield paddle.to_tensor(self.values[rows]), np.array(rows)


def test_rows_follow_the_data_set_and_not_the_batches():
    loader = FakeLoader([[3, 1], [0], [2, 4]], 5)
    features = extract_features(paddle.nn.Identity(), loader)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, loader.values)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_network_is_restored_and_nothing_learned(training):
    model = paddle.nn.BatchNorm1D(3)
    model.train() if training else model.eval()
    before = model._mean.numpy().copy()
    extract_features(model, FakeLoader([[0, 1, 2]], 3))
    assert model.training is training
    np.testing.assert_array_equal(model._mean.numpy(), before)


def test_the_mode_is_restored_after_an_error():
    class Broken(paddle.nn.Layer):
        def forward(self, images):
            raise DataError("no")

    model = Broken()
    with pytest.raises(DataError, match="no"):
        extract_features(model, FakeLoader([[0]], 1))
    assert model.training


@pytest.mark.parametrize("batches", [[[0, 1]], [[0, 1, 2, 2]]])
def test_missing_and_repeated_rows_are_refused(batches):
    with pytest.raises(DataError, match="1 of 3 images were not extracted exactly once; first row: 2"):
        extract_features(paddle.nn.Identity(), FakeLoader(batches, 3))


def test_features_that_are_not_finite_are_refused():
    loader = FakeLoader([[0, 1, 2]], 3)
    loader.values[1, 0] = np.nan
    with pytest.raises(TrainingError, match=r"1 of 3 features of a batch are not finite \(first row: 1\)"):
        extract_features(paddle.nn.Identity(), loader)
