"""What a checkpoint holds: facts with types, since anybody can write a right checksum, and tensors, all or none."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import paddle
from paddle import nn
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ppreid.base.errors import WeightsError
from ppreid.models.reid_net import AUXILIARY

FORMAT = 1  # raised when a checkpoint of before can no longer be read; tests/data/checkpoints has one of each
MAX_FACTS = 5
MAX_TENSORS = 4  # which network it is says more than all names
DIRECTIONS = ("moment", "velocity")  # of Adam and of SGD: as large as the parameter; the rest are single numbers

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
        rest = f" and {len(problems) - MAX_FACTS} more" if len(problems) > MAX_FACTS else ""
        raise WeightsError(
            f"{path} was written by another version of ppreid or is damaged, and cannot be resumed: "
            f"{', '.join(problems[:MAX_FACTS])}{rest}. Its weights may still be evaluated"
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
    is_list = labels.ndim == 1 and labels.dtype == np.int64
    if not is_list or labels.min(initial=-1) < -1 or labels.max(initial=-1) >= len(labels):
        raise WeightsError(
            f"{path} cannot be resumed: its pseudo labels are none (shape {labels.shape}, {labels.dtype})"
        )


def _problem(detail: Any) -> str:  # noqa: ANN401 - pydantic's
    place = ".".join(map(str, detail["loc"][:4]))
    what = {"missing": "is missing", "extra_forbidden": "is unknown"}.get(detail["type"], detail["msg"].lower())
    return f"{place} {what}" if detail["type"] in ("missing", "extra_forbidden") else f"{place}: {what}"


def optimizer_arrays(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> dict[str, np.ndarray]:
    """The optimizer's moments under the structured names of the model ("conv1.weight/moment1_0").

    Paddle keys them by automatic tensor names, which depend on what else the process has created before.
    """
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    arrays = {}
    # paddle 2.6 keeps restored moments aside until the first step, and state_dict() does not show them
    restored = getattr(optimizer, "_accumulators_holder", {})
    for key, value in {**restored, **optimizer.state_dict()}.items():
        if not isinstance(value, paddle.Tensor):
            continue
        tensor_name = max((name for name in names if key.startswith(f"{name}_")), key=len)
        arrays[f"{names[tensor_name]}/{key.removeprefix(tensor_name + '_')}"] = value.numpy()
    return arrays


def restore_arrays(
    path: Path,
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer | None,
    *,
    weights: Mapping[str, np.ndarray],
    moments: Mapping[str, np.ndarray],
) -> None:
    """Put arrays into model and optimizer.

    Args:
        path: where they are from, for messages.
        model: of the same architecture.
        optimizer: of the same kind, over the parameters of `model`; None: nothing trains it.
        weights: of the model, by name.
        moments: what `optimizer_arrays` gave; none before the first step.

    Raises:
        WeightsError: they do not fit; a few differences are listed, and model and optimizer are as they were.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    differences = [*_differences(found, expected), *_moment_differences(model, moments)]
    if differences:
        lines = "\n".join(f"  - {line}" for line in differences[:MAX_TENSORS])
        lines += f"\n  and {len(differences) - MAX_TENSORS} more" if len(differences) > MAX_TENSORS else ""
        from ppreid.weights.network import network_of
        from ppreid.weights.report import between_networks

        network = between_networks(network_of(found, "ppreid"), network_of(expected, "ppreid"))
        text = f"{path} does not fit the network of this configuration or version; nothing of it was loaded. {network}"
        raise WeightsError(f"{text}{'. ' * bool(network)}{len(differences)} tensors differ:\n{lines}")
    model.set_state_dict(dict(weights))
    tensor_names = {name: parameter.name for name, parameter in model.named_parameters()}
    state = {}
    for key, value in moments.items():
        name, _, kind = key.rpartition("/")
        state[f"{tensor_names[name]}_{kind}"] = paddle.to_tensor(value)
    if optimizer:
        optimizer.set_state_dict(state)


def _differences(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """One line for every name that only one side has, or with another shape."""
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            sides = [str(shapes[name]) if name in shapes else "missing" for shapes in (found, expected)]
            yield f"{name}: {sides[0]} in the file, {sides[1]} in the network"


def _kind(key: str) -> str:
    """What of a parameter the optimizer knows under a key, such as "moment1_0"."""
    return key.rpartition("/")[2]


def _moment_differences(model: nn.Layer, moments: Mapping[str, np.ndarray]) -> Iterator[str]:
    """The same for the optimizer, which knows for every trained parameter the same kinds of numbers, or nothing yet."""
    kinds = {_kind(key) for key in moments}
    trained = {name: tuple(value.shape) for name, value in model.named_parameters() if value.trainable}
    # what the objective calls may not have been called yet
    moved = {key.rpartition("/")[0] for key in moments}
    trained = {name: shape for name, shape in trained.items() if name in moved or not name.startswith(AUXILIARY)}
    pairs = [(name, kind) for name in trained for kind in kinds]
    expected = {f"{name}/{kind}": trained[name] if kind.startswith(DIRECTIONS) else (1,) for name, kind in pairs}
    found = {key: value.shape if _kind(key).startswith(DIRECTIONS) else (1,) for key, value in moments.items()}
    yield from _differences(found, expected)
