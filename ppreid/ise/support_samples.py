"""Support samples: every sample extended towards its nearest other clusters, farther from step to step."""

import math
import warnings

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppreid.base.errors import ConfigError, PpreidWarning, TrainingError
from ppreid.ise.class_rows import host_labels


def pli_degree(step: int, total_steps: int, *, base: float = 1.0) -> float:
    """How far support samples lie on the way from their own cluster to a neighbouring one.

    The degree starts at 0 (a support is the sample itself), grows quickly while the clusters are still coarse and
    flattens below 0.25 * base, so that a support never reaches the middle between two clusters.

    Args:
        step: training steps done so far over all epochs, from 0.
        total_steps: steps of the whole training, at least 1.
        base: scale of the whole schedule; 1 in the paper.

    Returns:
        The factor on (neighbouring centroid - own centroid): 0 at step 0, 0.25 * base at `total_steps`.

    Raises:
        TrainingError: if `step` is not within [0, total_steps].

    Example:
        >>> [round(pli_degree(step, 100), 3) for step in (0, 25, 50, 75, 100)]
        [0.0, 0.089, 0.155, 0.207, 0.25]

    Reference:
        Zhang et al., "Implicit Sample Extension for Unsupervised Person Re-Identification", CVPR 2022, section 3.

    Note:
        The released code multiplies by 0.5 in the training loop and by 0.5 again where supports are made; 0.25 is
        their product, and no other factor is applied anywhere in ppreid.
    """
    if not 0 <= step <= total_steps or total_steps < 1:
        raise TrainingError(
            f"PLI degree asked for step {step} of {total_steps}; the step counts from 0 over all epochs "
            "and total_steps = epochs * steps per epoch is at least 1"
        )
    # e - 1, so that the logarithm ends at 1
    return 0.25 * base * math.log((math.e - 1.0) * step / total_steps + 1.0)


def usable_topk(topk: int, num_clusters: int) -> int:
    """Number of neighbouring clusters that every sample can be extended to; ask once per epoch.

    Args:
        topk: neighbours that the configuration asks for, at least 1.
        num_clusters: clusters of this epoch.

    Returns:
        min(topk, num_clusters - 1), so that the own cluster is never a neighbour; 0 means no support samples.

    Raises:
        ConfigError: if `topk` is less than 1.

    Warns:
        PpreidWarning: if there are fewer other clusters than `topk`.

    Note:
        With too few clusters the released code fails, or makes the same support twice when there are just two.
    """
    if topk < 1:
        raise ConfigError(f"ise.topk is {topk}; it is the number of neighbouring clusters, at least 1")
    usable = max(0, min(topk, num_clusters - 1))
    if usable < topk:
        message = f"ise.topk is {topk} but only {num_clusters} clusters exist; {usable} supports per image this epoch"
        warnings.warn(message, PpreidWarning, stacklevel=2)
    return usable


@paddle.no_grad()
def nearest_other_centroids(features: Tensor, labels: np.ndarray | Tensor, centroids: Tensor, k: int) -> Tensor:
    """The k clusters nearest to each sample by cosine similarity, its own cluster excluded.

    Args:
        features: (B, D); the order does not depend on their lengths.
        labels: (B,) own clusters, 0..C-1.
        centroids: (C, D) unit rows.
        k: neighbours per sample, 1..C-1.

    Returns:
        (B, k) int64, nearest first; the order of exactly equal similarities is not defined.

    Raises:
        TrainingError: if there are not k other clusters.
    """
    num_clusters = centroids.shape[0]
    if not 1 <= k < num_clusters:
        raise TrainingError(f"{k} other clusters asked for, {num_clusters - 1} exist; use usable_topk() of the epoch")
    similarity = paddle.matmul(features, centroids, transpose_y=True)  # (B, C)
    own = paddle.to_tensor(host_labels(labels)).unsqueeze(1) == paddle.arange(num_clusters)  # (B, C)
    # a sample may be nearest to its own centroid or not: it is left out by its label, never by its rank
    others = paddle.where(own, paddle.full_like(similarity, -np.inf), similarity)
    return paddle.topk(others, k, axis=1)[1]


def support_samples(
    features: Tensor, labels: np.ndarray | Tensor, centroids: Tensor, *, degree: float, k: int
) -> tuple[Tensor, np.ndarray]:
    """Extend every sample towards its k nearest other clusters; the extension keeps the label of the sample.

    Args:
        features: (B, D) unit rows, float32; the gradient flows into them alone.
        labels: (B,) own clusters, 0..C-1.
        centroids: (C, D) unit rows, constants.
        degree: factor on (neighbouring centroid - own centroid), see `pli_degree`; at 0 a support is its sample.
        k: supports per sample, 1..C-1.

    Returns:
        (B*k, D) unit rows, the supports of sample 0 first, nearest neighbour first, and their labels (B*k,) int64.

    Raises:
        TrainingError: if there are not k other clusters.

    Example:
        A sample on its centroid at 0 degrees and the other centroid at 60; a quarter of the way on the chord is at 14.

        >>> radians = np.deg2rad([0, 60])
        >>> centroids = paddle.to_tensor(np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32"))
        >>> (support,), _ = support_samples(centroids[:1], np.array([0]), centroids, degree=0.25, k=1)
        >>> round(float(np.rad2deg(np.arctan2(support[1].item(), support[0].item()))))
        14

    Reference:
        Zhang et al., CVPR 2022, section 3 (progressive linear interpolation).
    """
    labels = host_labels(labels)
    batch, dim = features.shape
    nearest = nearest_other_centroids(features, labels, centroids, k)
    neighbour = paddle.index_select(centroids, nearest.flatten()).reshape([batch, k, dim])
    own = paddle.index_select(centroids, paddle.to_tensor(labels)).unsqueeze(1)  # (B, 1, D)
    # Both ends are centroids and constants: the direction says where another cluster lies, not where one sample of it
    # happens to be, and the gradient cannot shorten the way by moving an end.
    supports = features.unsqueeze(1) + degree * (neighbour - own)  # (B, k, D)
    return F.normalize(supports.reshape([batch * k, dim]), axis=1), np.repeat(labels, k)
