"""Steps of the recipe of TransReID-SSL (SGD, hard memory, cluster contrast) against those of the released trainer."""

from functools import partial

import numpy as np
import paddle
import pytest
from models.vit_goldens import fill, golden, released_state, small_net, with_prefix

from ppreid.ise.memory import ClusterMemory, update_hard
from ppreid.ise.objective import ise_objective
from ppreid.training.finite import FiniteGuard, StepBatch
from ppreid.training.optimizer import sgd_with_l2
from ppreid.training.step import training_step

TOLERANCES = (5e-6, 5e-5, 5e-4)  # of each step: the error grows


def no_report(batch, values):
    raise AssertionError(f"{batch} {values}")


@pytest.mark.parametrize("kind", ["plain", "stem"])
def test_three_steps_of_the_released_trainer(kind):
    arrays, meta = golden(f"vit_{kind}_steps")
    before = with_prefix(arrays, "before.")
    net = small_net(meta["shape"], stem=kind == "stem")
    fill(net, before)
    optimizer = sgd_with_l2(net, lr=0.05, weight_decay=5e-4, momentum=0.9)
    memory = ClusterMemory(arrays["memory_before"], update_hard, 0.2)
    objective = partial(ise_objective, topk=0, temperature=0.05, supports_in_contrast=False, label_preserving=False)
    net.train()
    for step, tolerance in enumerate(TOLERANCES):
        found = with_prefix(arrays, f"step{step}.")
        labels = found["labels"].astype(np.int64)
        images = paddle.to_tensor(found["images"])
        batch = StepBatch(step, np.arange(len(labels)), labels)
        losses = training_step(net, memory, images, batch, optimizer, objective, guard=FiniteGuard(no_report))
        assert losses["loss"].item() == pytest.approx(meta["losses"][step], rel=max(tolerance, 1e-5))
        np.testing.assert_allclose(memory.centroids.numpy(), found["memory_after"], rtol=0, atol=tolerance)
        for name, expected in with_prefix(found, "after.").items():
            if "running_var" not in name and not name.endswith("num_batches_tracked"):  # paddle's is the biased one
                after = released_state(net)[name]
                np.testing.assert_allclose(after, expected, rtol=0, atol=tolerance, err_msg=name)
