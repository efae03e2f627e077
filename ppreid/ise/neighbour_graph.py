"""Who is near whom among the training images, and what a head predicts for the neighbours of an image in a batch."""

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor
from scipy.sparse import csr_matrix

from ppreid.base.errors import WeightsError


def neighbour_graph(
    distances: csr_matrix, labels: np.ndarray, *, radius: float, temperature: float = 1.0, sign: float = 1.0
) -> csr_matrix:
    """Who is near whom, with the weights of the neighbours before they are made to sum to 1.

    Args:
        distances: (N, N) float32, what was clustered, with every pair within `radius` stored.
        labels: (N,) -1 for outliers, which are nobody's neighbours.
        radius: largest distance of a neighbour, itself included.
        temperature: divisor of the distance in the exponent, > 0.
        sign: of the distance there; 1, as released: the FARTHER of two neighbours weighs more; -1: the nearer one.

    Returns:
        (N, N) float32, exp(sign * distance / temperature) where i and j are neighbours: never 0, so that what is not
        stored is no neighbour. Everybody is its own neighbour.
    """
    pairs, own = distances.tocoo(), np.flatnonzero(labels >= 0)
    is_near = pairs.data.astype(np.float32) <= np.float32(radius)
    is_near &= (pairs.row != pairs.col) & (labels[pairs.row] >= 0) & (labels[pairs.col] >= 0)
    # the diagonal apart: a distance of 0 may be stored or not
    rows, columns = (np.concatenate([ends[is_near], own]) for ends in (pairs.row, pairs.col))
    near = np.concatenate([pairs.data[is_near], distances.diagonal()[own]]).astype(np.float64)
    weights = np.exp(sign * near / temperature).astype(np.float32)
    return csr_matrix((weights, (rows, columns)), shape=distances.shape)


def neighbour_means(logits: Tensor, indices: np.ndarray, graph: csr_matrix) -> Tensor:
    """What the head predicts for the neighbours of each image in the batch.

    Args:
        logits: (B, C).
        indices: (B,) record numbers; one may come several times, and its first row speaks for it.
        graph: (N, N) from `neighbour_graph`.

    Returns:
        (B, C) rows that sum to 1, without gradient.
    """
    records, first = np.unique(indices, return_index=True)
    # on the host, where the graph is: a batch needs a few hundred of its rows
    weights = graph[indices][:, records].toarray().astype(np.float64)  # (B, U), 0 where they are no neighbours
    weights /= weights.sum(axis=1, keepdims=True)
    with paddle.no_grad():
        predicted = paddle.index_select(F.softmax(logits, axis=1), paddle.to_tensor(first))  # (U, C)
        return paddle.matmul(paddle.to_tensor(weights.astype(np.float32)), predicted)


def csr_arrays(graph: csr_matrix) -> list[np.ndarray]:
    """A sparse matrix (N, N) as three arrays, for checkpoints and other processes."""
    return [graph.indptr.astype(np.int64), graph.indices.astype(np.int64), graph.data]


def kept_csr(kept: Sequence[np.ndarray]) -> csr_matrix:
    """The matrix (N, N) that `csr_arrays` took apart.

    Raises:
        WeightsError: the arrays, which may come from a checkpoint, are none.
    """
    indptr, indices, values = kept
    try:
        graph = csr_matrix((values, indices, indptr), shape=(len(indptr) - 1, len(indptr) - 1))
        graph.check_format(full_check=True)
    except (ValueError, TypeError, IndexError) as error:
        raise WeightsError(
            f"the neighbours that the checkpoint holds for its epoch are none ({error}); resume from another one"
        ) from error
    return graph
