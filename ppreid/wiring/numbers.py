"""From configuration to what is done where a number is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppreid.base.records import ImageRecord
    from ppreid.config.schema import TrainingConfig
    from ppreid.training.finite import FiniteGuard


def finite_guard(cfg: TrainingConfig, records: Sequence[ImageRecord]) -> FiniteGuard:
    """What looks for numbers that are not finite."""
    from ppreid.training.finite import FiniteGuard, write_nonfinite_batch
    from ppreid.training.optimizer import OFF, LossScale

    paths = [record.path for record in records]
    return FiniteGuard(
        partial(write_nonfinite_batch, folder=Path(cfg.output_dir), image_paths=paths),
        may_skip=cfg.solver.on_nonfinite == "skip",
        max_skips=cfg.solver.max_nonfinite,
        scale=LossScale(is_dynamic=cfg.amp.level != OFF and cfg.amp.dtype == "float16"),
    )
