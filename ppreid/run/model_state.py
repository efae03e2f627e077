"""The tensors of model and optimizer as arrays by name, and back: all of them, or none and a list of what differs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppreid.base.errors import WeightsError

MAX_LISTED = 20


def optimizer_arrays(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> dict[str, np.ndarray]:
    """Adam's moments under the structured names of the model ("conv1.weight/moment1_0").

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
    optimizer: paddle.optimizer.Optimizer,
    *,
    weights: Mapping[str, np.ndarray],
    moments: Mapping[str, np.ndarray],
) -> None:
    """Put arrays into model and optimizer.

    Args:
        path: where they are from, for messages.
        model: of the same architecture.
        optimizer: of the same kind, over the parameters of `model`.
        weights: of the model, by name.
        moments: what `optimizer_arrays` gave; none before the first step.

    Raises:
        WeightsError: they do not fit; the differences are listed, and model and optimizer are as they were.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    differences = [*_differences(found, expected), *_moment_differences(model, moments)]
    if differences:
        rest = f"\n  and {len(differences) - MAX_LISTED} more" if len(differences) > MAX_LISTED else ""
        lines = "\n".join(f"  - {line}" for line in differences[:MAX_LISTED])
        raise WeightsError(
            f"{path} does not fit the network of this configuration or version; nothing of it was loaded. "
            f"{len(differences)} tensors differ:\n{lines}{rest}"
        )
    model.set_state_dict(dict(weights))
    tensor_names = {name: parameter.name for name, parameter in model.named_parameters()}
    state = {}
    for key, value in moments.items():
        name, _, kind = key.rpartition("/")
        state[f"{tensor_names[name]}_{kind}"] = paddle.to_tensor(value)
    optimizer.set_state_dict(state)


def _differences(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """One line for every name that only one side has, or with another shape."""
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            sides = [str(shapes[name]) if name in shapes else "missing" for shapes in (found, expected)]
            yield f"{name}: {sides[0]} in the file, {sides[1]} in the network"


def _moment_differences(model: nn.Layer, moments: Mapping[str, np.ndarray]) -> Iterator[str]:
    """The same for the optimizer, which knows for every trained parameter the same kinds of numbers, or nothing yet."""
    kinds = {key.rpartition("/")[2] for key in moments}
    trained = {name: tuple(value.shape) for name, value in model.named_parameters() if value.trainable}
    expected = {
        f"{name}/{kind}": shape if kind.startswith("moment") else (1,)
        for name, shape in trained.items()
        for kind in kinds
    }
    found = {key: value.shape if "/moment" in key else (1,) for key, value in moments.items()}
    yield from _differences(found, expected)
