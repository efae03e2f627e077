"""Inter-camera proxies: an image is drawn to the means of its cluster in other cameras, away from other clusters.

Each epoch has one proxy for every cluster and camera that occur together. They stay as they are until the next
clustering, whatever the memory does.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor
from scipy.sparse import csr_matrix

from ppreid.base.errors import PpreidWarning, WeightsError
from ppreid.contracts import Clustering, StepBatch
from ppreid.ise.class_rows import cameras_of, host_labels

# what stands for minus infinity, whose gradient would be NaN; similarities are at most 1 / temperature
LOWEST = -1e9


def camera_proxies(
    features: np.ndarray, labels: np.ndarray, camids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean direction of every cluster in every camera that it occurs in.

    Args:
        features: (N, D) unit rows.
        labels: (N,) clusters, -1 for outliers, which have none.
        camids: (N,) cameras, any numbers.

    Returns:
        Proxies (M, D) float32 unit rows, their clusters (M,) and cameras (M,) int64: by cluster, then by camera.
    """
    own = np.flatnonzero(labels >= 0)
    pairs, of_pair = np.unique(np.stack([labels[own], camids[own]], axis=1), axis=0, return_inverse=True)
    shape = (len(pairs), len(labels))
    members = csr_matrix((np.ones(len(own), np.float32), (of_pair.reshape(-1), own)), shape=shape)
    sums = members @ np.asarray(features, np.float32)  # (M, D); a sum has the direction of the mean
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.maximum(norms, np.finfo(np.float32).tiny), *pairs.astype(np.int64).T.copy()


def inter_camera_losses(
    features: Tensor,
    labels: np.ndarray | Tensor,
    camids: np.ndarray,
    proxies: Tensor,
    proxy_labels: np.ndarray,
    proxy_camids: np.ndarray,
    *,
    temperature: float = 0.07,
    num_negatives: int = 50,
) -> Tensor:
    """Contrast of each image with the proxies of its cluster in other cameras and the nearest ones of other clusters.

    With S the similarities over the temperature, an image costs logsumexp S over positives and negatives, minus the
    mean of S over the positives. A proxy of its own cluster and camera is neither.

    Args:
        features: (B, D), of which type the losses are; normalised here.
        labels: (B,) clusters.
        camids: (B,) cameras.
        proxies: (M, D) unit rows, constants.
        proxy_labels: (M,) their clusters.
        proxy_camids: (M,) their cameras.
        temperature: divisor of the similarities, > 0.
        num_negatives: nearest proxies of other clusters that count, at least 1; an image that has fewer takes those.

    Returns:
        (B,) losses; 0, with no gradient, for an image whose cluster is in no other camera.

    Reference:
        PPLR's inter-camera loss, after those of CAP and ICE.

    Note:
        Where an image has fewer than `num_negatives` negatives, the released code takes proxies of its own cluster for
        negatives; here none are, and no image loses some because another one has fewer.
    """
    labels, camids = host_labels(labels), np.asarray(camids)
    unit = F.normalize(features, axis=1)
    similarity = paddle.matmul(unit, proxies.astype(unit.dtype), transpose_y=True) / temperature  # (B, M)
    is_other = labels[:, None] != proxy_labels  # (B, M)
    is_positive = ~is_other & (camids[:, None] != proxy_camids)
    other, positive = paddle.to_tensor(is_other), paddle.to_tensor(is_positive, dtype=unit.dtype)
    lowest = paddle.full_like(similarity, LOWEST)
    _, nearest = paddle.topk(
        paddle.where(other, similarity.detach(), lowest), min(num_negatives, proxies.shape[0]), axis=1
    )
    chosen = paddle.put_along_axis(paddle.zeros_like(lowest), nearest, paddle.ones(nearest.shape, unit.dtype), axis=1)
    # where there are fewer negatives than wanted, the choice runs on into the others, which are none
    used = paddle.logical_or(paddle.logical_and(chosen > 0, other), positive > 0)
    counts = is_positive.sum(axis=1)  # (B,)
    drawn = (similarity * positive).sum(axis=1) / paddle.to_tensor(np.maximum(counts, 1), dtype=unit.dtype)
    losses = paddle.logsumexp(paddle.where(used, similarity, lowest), axis=1) - drawn
    return paddle.where(paddle.to_tensor(counts > 0), losses, paddle.zeros_like(losses))


class CameraProxies:
    """The loss of inter-camera proxies, as an addition to an objective; see `contracts.Addition`.

    Args:
        weight: of the loss, whose mean is over all images of the batch, those that cost nothing included.
        temperature: see `inter_camera_losses`.
        num_negatives: there.
        start_epoch: first epoch of the loss, from 0.
    """

    name, num_kept = "camera", 3

    def __init__(self, *, weight: float, temperature: float, num_negatives: int, start_epoch: int = 0) -> None:
        self._weight, self._start_epoch = weight, start_epoch
        self._losses = partial(inter_camera_losses, temperature=temperature, num_negatives=num_negatives)

    def prepare(self, clustering: Clustering) -> Sequence[np.ndarray]:
        """The proxies."""
        return camera_proxies(clustering.features, clustering.labels, clustering.camids)

    def begin(self, centroids: np.ndarray) -> None:
        """Nothing: proxies have no state beyond their epoch."""

    def of_epoch(
        self, epoch: int, num_clusters: int, kept: Sequence[np.ndarray]
    ) -> Callable[[Tensor, StepBatch], Tensor] | None:
        """The loss of an epoch; none, with a warning, where a single cluster leaves no negatives."""
        proxies, labels, camids = kept
        if proxies.ndim != 2 or not labels.shape == camids.shape == proxies.shape[:1] or proxies.dtype != np.float32:
            raise WeightsError("the checkpoint holds no camera proxies for its epoch; resume from another one")
        if epoch < self._start_epoch:
            return None
        if num_clusters == 1:
            text = "a single cluster exists: no other proxies to compare with, loss_camera is left out this epoch"
            warnings.warn(text, PpreidWarning, stacklevel=2)
            return None
        fixed = paddle.to_tensor(proxies)

        def loss(features: Tensor, batch: StepBatch) -> Tensor:
            own = cameras_of(batch, batch.labels)
            return self._weight * self._losses(features, batch.labels, own, fixed, labels, camids).mean()

        return loss
