"""Checkpoints that do not fit: all differences are listed, and nothing is loaded."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppreid.base.errors import WeightsError
from ppreid.run.checkpoint_parts import optimizer_arrays, restore_arrays
from ppreid.training.optimizer import adam_with_l2, sgd_with_l2


@pytest.fixture
def trained():
    """A network after one step, with its optimizer and both as arrays."""
    paddle.seed(0)
    model = paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.BatchNorm1D(4))
    optimizer = adam_with_l2(model, lr=0.01, weight_decay=5e-4)
    model(paddle.ones([2, 3])).sum().backward()
    optimizer.step()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    return model, optimizer, weights, optimizer_arrays(model, optimizer)


def renamed(arrays, old, new):
    return {new if name == old else name: array for name, array in arrays.items()}


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


CASES = {
    "weight renamed": (
        lambda weights, moments: (renamed(weights, "0.weight", "0.kernel"), moments),
        ["0.kernel: (3, 4) in the file, missing in the network", "0.weight: missing in the file, (3, 4) in the"],
    ),
    "weight dropped": (
        lambda weights, moments: (without(weights, "1._mean"), moments),
        ["1._mean: missing in the file, (4,) in the network"],
    ),
    "weight of another shape": (
        lambda weights, moments: ({**weights, "0.bias": np.zeros(5, np.float32)}, moments),
        ["0.bias: (5,) in the file, (4,) in the network"],
    ),
    "moment dropped": (
        lambda weights, moments: (weights, without(moments, "0.weight/moment1_0")),
        ["0.weight/moment1_0: missing in the file, (3, 4) in the network"],
    ),
    "moment renamed": (
        lambda weights, moments: (weights, renamed(moments, "0.bias/moment2_0", "0.offset/moment2_0")),
        ["0.bias/moment2_0: missing in the file", "0.offset/moment2_0: (4,) in the file, missing in the network"],
    ),
    "moment of another shape": (
        lambda weights, moments: (weights, {**moments, "0.weight/moment2_0": np.zeros((4, 3), np.float32)}),
        ["0.weight/moment2_0: (4, 3) in the file, (3, 4) in the network"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_listed_and_nothing_is_loaded(trained, case):
    model, optimizer, weights, moments = trained
    change, lines = CASES[case]
    shifted = {name: array + 1 for name, array in weights.items()}
    new_weights, new_moments = change(shifted, moments)
    with pytest.raises(WeightsError, match=f"nothing of it was loaded. {len(lines)} tensors differ") as caught:
        restore_arrays(Path("last"), model, optimizer, weights=new_weights, moments=new_moments)
    assert all(f"\n  - {line}" in str(caught.value) for line in lines), str(caught.value)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), weights[name])


def test_long_lists_are_cut(trained):
    model, optimizer, weights, moments = trained
    others = {f"other.{number:02d}": np.zeros(1, np.float32) for number in range(30)}
    with pytest.raises(WeightsError, match="30 tensors differ") as caught:
        restore_arrays(Path("last"), model, optimizer, weights={**weights, **others}, moments=moments)
    assert str(caught.value).count("\n") == 5 and str(caught.value).endswith("and 26 more")


def test_before_the_first_step_there_are_no_moments(trained):
    model, _, weights, _ = trained
    fresh = adam_with_l2(model, lr=0.01, weight_decay=5e-4)
    restore_arrays(Path("last"), model, fresh, weights=weights, moments={})
    assert optimizer_arrays(model, fresh) == {}


def test_the_directions_of_gradient_descent_are_kept(trained):
    model, _, weights, _ = trained
    optimizer = sgd_with_l2(model, lr=0.01, weight_decay=5e-4, momentum=0.9)
    model(paddle.ones([2, 3])).sum().backward()
    optimizer.step()
    directions = optimizer_arrays(model, optimizer)
    assert directions["0.weight/velocity_0"].shape == (3, 4)
    again = sgd_with_l2(model, lr=0.01, weight_decay=5e-4, momentum=0.9)
    restore_arrays(Path("last"), model, again, weights=weights, moments=directions)
    found = optimizer_arrays(model, again)
    assert found.keys() == directions.keys()
    for name, value in directions.items():
        np.testing.assert_array_equal(found[name], value)
    lost = without(directions, "1.weight/velocity_0")
    with pytest.raises(WeightsError, match=r"1\.weight/velocity_0: missing in the file"):
        restore_arrays(Path("last"), model, again, weights=weights, moments=lost)
