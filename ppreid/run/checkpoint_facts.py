"""What a checkpoint says beside its tensors, with types: a right checksum can be written by anybody."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ppreid.base.errors import WeightsError

FORMAT = 1  # raised when a checkpoint of before can no longer be read; tests/data/checkpoints has one of each
MAX_LISTED = 5

Count = Annotated[int, Field(ge=0, lt=2**53)]  # what a float holds exactly, and more than anybody counts
Number = Annotated[float, Field(allow_inf_nan=False)]
Value = Count | Number | str | None


class _Facts(BaseModel):
    """Strict types and no unknown names: those are of another version."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RunningFacts(_Facts):
    """An epoch under way."""

    steps: Count
    seconds: dict[str, Number]
    skipped: Count = 0


class EvaluationFacts(BaseModel):
    """A row of metrics.jsonl; later versions may have further numbers in it."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Value]

    event: str
    epoch: Count
    mAP: Number = Field(ge=0, le=100)  # noqa: N815 - the name in the file


class ImageFacts(BaseModel):
    """Digest of the training images, and whatever else later versions compare."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Count | str]

    count: Count


class GuardFacts(_Facts):
    """Steps that were left out, and the scale of the loss."""

    skipped: Count = 0
    overflows: Count = 0
    loss_scale: Annotated[float, Field(gt=0, le=2.0**60)] | None = None
    steps_at_scale: Count | None = None


class CheckpointFacts(_Facts):
    """All of it."""

    epoch: Count
    config: dict[str, Any]
    history: list[EvaluationFacts]
    images: ImageFacts
    running: RunningFacts | None = None
    guard: GuardFacts = GuardFacts()


def checked_facts(path: Path, facts: dict[str, Any]) -> CheckpointFacts:
    """The facts of a checkpoint.

    Raises:
        WeightsError: they are of another format or version, or are not what they must be; what is wrong is listed.
    """
    found = facts.get("format")
    if type(found) is not int or found != FORMAT:
        text = f"{path} has checkpoint format {str(found)[:40]}, this version of ppreid reads {FORMAT}"
        raise WeightsError(f"{text}; resume with the version that wrote it. Its weights can be evaluated")
    try:
        return CheckpointFacts.model_validate({name: value for name, value in facts.items() if name != "format"})
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors(include_url=False, include_input=False)]
        rest = f" and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        raise WeightsError(
            f"{path} was written by another version of ppreid or is damaged, and cannot be resumed: "
            f"{', '.join(problems[:MAX_LISTED])}{rest}. Its weights may still be evaluated"
        ) from None


def check_running(path: Path, labels: np.ndarray, centroids: np.ndarray, sums: dict[str, np.ndarray]) -> None:
    """Check the arrays of an epoch under way against each other.

    Raises:
        WeightsError: they are not pseudo labels (N,), centroids (C, D) of them, and scalars.
    """
    check_labels_of(path, labels)
    is_right = (
        centroids.ndim == 2
        and centroids.dtype == np.float32
        and len(centroids) == labels.max(initial=-1) + 1 > 0
        and all(value.size == 1 and value.dtype.kind == "f" for value in sums.values())
    )
    if not is_right:
        raise WeightsError(f"{path} cannot be resumed: pseudo labels, centroids and losses of its epoch do not fit")


def check_labels_of(path: Path, labels: np.ndarray) -> None:
    """Check pseudo labels (N,).

    Raises:
        WeightsError: they are none.
    """
    if (
        labels.ndim != 1
        or labels.dtype != np.int64
        or labels.min(initial=-1) < -1
        or labels.max(initial=-1) >= len(labels)
    ):
        raise WeightsError(
            f"{path} cannot be resumed: its pseudo labels are none (shape {labels.shape}, {labels.dtype})"
        )


def _problem(detail: Any) -> str:  # noqa: ANN401 - pydantic's
    place = ".".join(map(str, detail["loc"][:4]))
    what = {"missing": "is missing", "extra_forbidden": "is unknown"}.get(detail["type"], detail["msg"].lower())
    return f"{place} {what}" if detail["type"] in ("missing", "extra_forbidden") else f"{place}: {what}"
