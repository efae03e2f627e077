"""What happens when a number of a training step is not finite: the run stops, or leaves the step out."""

import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle
from paddle import Tensor

from ppreid.base.errors import PpreidWarning, TrainingError
from ppreid.contracts import StepBatch
from ppreid.disk.files import write_text
from ppreid.run.folder import NONFINITE
from ppreid.training.optimizer import LossScale

logger = logging.getLogger("ppreid")


class FiniteGuard:
    """Looks at the numbers of every step, and names the batch of the first one that is not finite.

    Where the run stops anyway, the numbers wait on the device until `check` reads those of many steps at once, so that
    a GPU never idles for them. Where a step can be left out, they are read before the step changes anything.

    Attributes:
        scale: of the loss.
        skipped: steps of the run that were left out because a number was not finite.
        overflows: steps of the run that were left out because the scale of the loss was too large for float16.
    """

    def __init__(
        self,
        report: Callable[[StepBatch, Mapping[str, float]], Path],
        *,
        may_skip: bool = False,
        max_skips: int = 0,
        scale: LossScale | None = None,
    ) -> None:
        """Start to look.

        Args:
            report: writes a batch and its numbers to a file, and gives the file's path.
            may_skip: leave steps out instead of stopping the run.
            max_skips: most steps of a run to leave out.
            scale: of the loss; None is float32's.
        """
        self.scale = scale or LossScale(is_dynamic=False)
        self.skipped = 0
        self.overflows = 0
        self._report = report
        self._may_skip = may_skip
        self._max_skips = max_skips
        self._pending: list[tuple[StepBatch, list[str], Tensor]] = []

    @property
    def decides_at_once(self) -> bool:
        """Whether `accepts` may say no."""
        return self._may_skip or self.scale.is_dynamic

    def accepts(self, batch: StepBatch, numbers: Mapping[str, Tensor]) -> bool:
        """Look at the numbers of a step before it changes weights and memory.

        Args:
            batch: of the step.
            numbers: scalars by name, in the order in which the step computes them; the last one is "gradient".

        Returns:
            Whether the step may go on; always, where it cannot be left out.

        Raises:
            TrainingError: a number is not finite.
        """
        # one small tensor a step, not one read a number: reading waits for the device
        scalars = paddle.stack([number.astype("float32").reshape([1]) for number in numbers.values()])
        self._pending.append((batch, list(numbers), scalars))
        return self.check() if self.decides_at_once else True

    def check(self) -> bool:
        """Read the numbers that wait on the device.

        Returns:
            Whether all are finite.

        Raises:
            TrainingError: a number is not finite, and its step cannot be left out.
        """
        if not self._pending:
            return True
        pending, self._pending = self._pending, []
        # all steps in one transfer
        values = paddle.stack([scalars for _, _, scalars in pending]).numpy()[:, :, 0]  # (steps, names)
        for (batch, names, _), row in zip(pending, values.tolist(), strict=True):
            if not all(map(math.isfinite, row)):
                # what came later was computed from this one, and says nothing new
                self._refuse(batch, dict(zip(names, row, strict=True)))
                return False
            self.scale.count_step()
        return True

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        scale = {"loss_scale": self.scale.value, "steps_at_scale": self.scale.steps} if self.scale.is_dynamic else {}
        return {"skipped": self.skipped, "overflows": self.overflows, **scale}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; from the start if that is empty."""
        self.skipped, self.overflows = state.get("skipped", 0), state.get("overflows", 0)
        if self.scale.is_dynamic and "loss_scale" in state:
            self.scale.value, self.scale.steps = state["loss_scale"], state["steps_at_scale"]

    def _refuse(self, batch: StepBatch, values: Mapping[str, float]) -> None:
        """Leave the step out, or stop the run."""
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        before = self.scale.value
        # the loss was finite and only its scaled gradient was not: float16 overflowed, which is no fault of the batch
        if broken == ["gradient"] and self.scale.shrink():
            self.overflows += 1
            logger.info("step %d is left out: loss scale %g overflows, now %g", batch.step, before, self.scale.value)
            return
        path = self._report(batch, values)
        what = f"{', '.join(broken)} became NaN or infinite at step {batch.step}, whose images are listed in {path}"
        if not self._may_skip:
            raise TrainingError(
                f"{what}; the last checkpoint is from before that. Lower solver.lr or raise solver.warmup_iters, then "
                "--resume. solver.on_nonfinite: skip leaves such steps out"
            )
        if self.skipped >= self._max_skips:
            raise TrainingError(
                f"{what}; {self.skipped} steps of this run were left out before, and solver.max_nonfinite allows no "
                "more. Lower solver.lr or raise solver.warmup_iters, then --resume"
            )
        self.skipped += 1
        text = f"{what}; the step is left out, which makes {self.skipped} of at most {self._max_skips} in a run"
        warnings.warn(text, PpreidWarning, stacklevel=4)


def write_nonfinite_batch(
    batch: StepBatch, values: Mapping[str, float], *, folder: Path, image_paths: Sequence[str]
) -> Path:
    """List the images of a batch in a JSON file.

    Args:
        batch: of the step.
        values: the numbers of the step by name, in the order in which they were computed.
        folder: of the run.
        image_paths: (N,) of the data set.

    Returns:
        The file; its numbers are texts, since JSON has no spelling for those that are not finite.

    Raises:
        OSError: it cannot be written.
    """
    images = [
        {"path": image_paths[row], "row": row, "cluster": label}
        for row, label in zip(batch.indices.tolist(), batch.labels.tolist(), strict=True)
    ]
    # repr: JSON has no spelling for the very numbers that are to be seen here
    content = {"step": batch.step, "values": {name: repr(value) for name, value in values.items()}, "images": images}
    path = folder / NONFINITE.format(f"{batch.step:06d}")
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return path
