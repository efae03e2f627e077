"""Matrix products on a GPU are float32, not TF32; a CPU build of paddle has no such switch, so one is put there."""

import os

import numpy as np
import paddle
import pytest

from ppreid.base.environment import float32_products
from ppreid.neighbours.ranking import Ranking, rank_on_device
from ppreid.neighbours.tiles import choose_matmul
from ppreid.processes.device import use_device

FEATURES = np.eye(3, dtype=np.float32)
# Whatever may be the first to multiply on a GPU: a command, and what a program calls by itself.
DOORS = {
    "use_device": lambda: use_device("cpu"),
    "the product of tiles and of re-ranking": lambda: choose_matmul("paddle")(FEATURES, FEATURES),
    "neighbours on the device": lambda: rank_on_device(FEATURES, [Ranking(np.zeros(3, np.int64), 1, same_group=True)]),
}


@pytest.mark.parametrize("door", DOORS)
def test_tf32_is_off_behind_every_door(door, monkeypatch):
    calls = []
    monkeypatch.setattr(paddle.base.core, "set_cublas_switch", calls.append, raising=False)
    DOORS[door]()
    assert calls == [False]


def test_a_build_without_cuda_needs_nothing():
    float32_products(object())


def test_convolutions_and_the_environment_are_left_alone(monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    calls = []
    for name in ("set_cublas_switch", "set_cudnn_switch"):
        monkeypatch.setattr(paddle.base.core, name, lambda value, name=name: calls.append(name), raising=False)
    use_device("cpu")
    assert calls == ["set_cublas_switch"]

    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"
