"""The part of the table that only a run can fill."""

import measure
import pytest
from law import LIMITS


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the probe saw of a training run as a user starts it."""
    folder = tmp_path_factory.mktemp("measured")
    measure.run_command("make-demo-data", folder)
    return measure.run_command("train", folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frames", "files_of_frames", "calls_to_model", "hops", "lookups"])
def test_a_run_keeps_its_limits(seen, name):
    number = measure.seen_in(seen)[name]
    assert LIMITS[name].is_kept_by(number), f"{LIMITS[name].what}: {LIMITS[name].text(number)}; {seen['to_loss']}"


def test_the_frames_lead_from_the_tool_to_the_loss_and_to_the_network(seen):
    assert seen["to_loss"][0] == ["tools/train.py", "<module>"]
    assert seen["to_loss"][-1] == ["ppreid/ise/objective.py", "label_preserving_loss"]
    assert ["ppreid/training/loop.py", "train"] in seen["to_loss"]
    assert seen["to_model"][-2:] == [
        ["ppreid/training/step.py", "training_step"],
        ["ppreid/models/reid_net.py", "forward"],
    ]
    assert seen["steps"] == 6  # 2 epochs of 3


def test_the_table_shows_what_is_over_its_limit_and_what_is_missing():
    rows = measure.table({"hops": 3, "lookups": 0}).splitlines()
    assert any("| 3 | over the limit |" in row for row in rows)
    assert any("| 0 |  |" in row for row in rows)
    assert sum("missing" in row for row in rows) == len(LIMITS) - 2
