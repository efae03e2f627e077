"""What the verb `train` makes of the configuration, beside wiring/."""

import pytest

from ppreid import wiring
from ppreid.config.schema import TrainingConfig


@pytest.mark.parametrize("level", ["O0", "O1", "O2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_loss_is_scaled_for_float16_alone(level, dtype):
    cfg = TrainingConfig.model_validate({"amp": {"level": level, "dtype": dtype}})
    assert wiring.finite_guard(cfg, ()).scale.is_dynamic == (level != "O0" and dtype == "float16")


def test_steps_may_be_left_out_only_where_the_configuration_says_so():
    for on_nonfinite, may_skip in (("stop", False), ("skip", True)):
        cfg = TrainingConfig.model_validate({"solver": {"on_nonfinite": on_nonfinite}})
        assert wiring.finite_guard(cfg, ()).decides_at_once == may_skip
