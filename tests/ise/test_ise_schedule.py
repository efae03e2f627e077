import math
from itertools import pairwise

import pytest

from ppreid.base.errors import TrainingError
from ppreid.ise.schedule import pli_degree


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
