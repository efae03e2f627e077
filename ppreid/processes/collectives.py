"""Arrays that travel between the processes of a run: features, labels, gradients, weights.

Each function has the same name and arguments on every rank and must be called by all of them. With one process it
returns its argument. Before a collective that follows unequal work the ranks meet (`Ranks.gather`), since gloo's
collectives wait for 30 seconds only.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
import paddle.distributed
from paddle import Tensor

from ppreid.processes.ranks import Ranks

BLOCK_BYTES = 64 * 2**20  # of a large array that travel at a time
STEP_LIMIT = 1800.0  # seconds that ranks wait for another one's step


def rows_to_first(rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """Put the rows of all ranks below each other.

    Args:
        rows: (n, D) of this rank; n may differ between ranks and may be 0, then D does not matter.
        ranks: the processes.

    Returns:
        On rank 0 (N, D), the rows of rank 0, then those of rank 1, and so on; an empty array elsewhere, since nobody
        else needs a copy of all features.
    """
    if ranks.count == 1:
        return rows
    shapes = ranks.gather(list(rows.shape), "gathering of features")
    dim = max(columns for _, columns in shapes)
    starts = np.cumsum([0, *(count for count, _ in shapes)])
    everything = np.empty((starts[-1] if ranks.is_first else 0, dim), dtype=np.float32)
    per_block = max(1, BLOCK_BYTES // (4 * max(1, dim)))
    for sender, (count, _) in enumerate(shapes):
        for first in range(0, count, per_block):
            size = min(per_block, count - first)
            if sender == 0:
                block = rows[first : first + size]
            else:
                mine = rows[first : first + size] if sender == ranks.rank else np.empty((size, dim), dtype=np.float32)
                block = _broadcast(paddle.to_tensor(mine), sender, ranks).numpy()
            if ranks.is_first:
                everything[starts[sender] + first : starts[sender] + first + size] = block
    return everything


def arrays_from_first(compute: Callable[[], Sequence[np.ndarray]], ranks: Ranks) -> Sequence[np.ndarray]:
    """Compute arrays on rank 0 and give them to all.

    Args:
        compute: called on rank 0 only.
        ranks: the processes.

    Returns:
        What `compute` returned.
    """
    arrays = compute() if ranks.is_first else ()
    if ranks.count == 1:
        return arrays
    layout = ranks.gather([(array.dtype.str, array.shape) for array in arrays], "labels")[0]
    source = iter(arrays)
    return [
        _broadcast(paddle.to_tensor(next(source) if ranks.is_first else np.empty(shape, kind)), 0, ranks).numpy()
        for kind, shape in layout
    ]


def facts_from_first(compute: Callable[[], Any], ranks: Ranks, what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Compute a small JSON value on rank 0 and give it to all.

    Args:
        compute: called on rank 0 only.
        ranks: the processes.
        what: name of the stage, for messages.
    """
    return ranks.gather(compute() if ranks.is_first else None, what)[0]


def tensors_from_first(tensors: Iterable[Tensor], ranks: Ranks) -> None:
    """Give the values of rank 0, for example the weights of a network, to all, in place."""
    if ranks.count > 1:
        ranks.gather(None, "exchange of weights")
        for tensor in tensors:
            _broadcast(tensor, 0, ranks)


def batch_of_all(rows: Tensor, ranks: Ranks) -> Tensor:
    """Equally many rows (b, D) of every rank below each other, (B, D), on every rank; no gradient flows back."""
    if ranks.count == 1:
        return rows.detach()
    ranks.gather(None, "training step", limit=STEP_LIMIT)
    parts: list[Tensor] = []
    with _failure_explained(ranks):
        paddle.distributed.all_gather(parts, rows.detach())
    return paddle.concat(parts)


def sum_gradients(parameters: Iterable[Tensor], ranks: Ranks) -> None:
    """Replace the gradients of parameters by their sums over the ranks, in one collective for each type of number."""
    if ranks.count == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for kind in dict.fromkeys(gradient.dtype for gradient in gradients):
        alike = [gradient for gradient in gradients if gradient.dtype == kind]
        together = paddle.concat([gradient.reshape([-1]) for gradient in alike])
        with _failure_explained(ranks):
            paddle.distributed.all_reduce(together)
        parts = paddle.split(together, [int(gradient.size) for gradient in alike])
        for gradient, part in zip(alike, parts, strict=True):
            paddle.assign(part.reshape(gradient.shape), gradient)


def digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of the bytes of arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _broadcast(tensor: Tensor, sender: int, ranks: Ranks) -> Tensor:
    """Give the sender's tensor to all, in place."""
    with _failure_explained(ranks):
        paddle.distributed.broadcast(tensor, src=sender)
    return tensor


@contextmanager
def _failure_explained(ranks: Ranks) -> Iterator[None]:
    """Replace what paddle raises when another process is gone by the reason."""
    try:
        yield
    except (RuntimeError, ValueError, OSError, SystemError) as error:
        raise ranks.failure() from error
