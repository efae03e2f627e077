"""The training objective of ISE: its terms, and what the memory learns from a step."""

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppreid.base.errors import TrainingError
from ppreid.contracts import LossTerms, StepBatch
from ppreid.ise.class_rows import cameras_of, check_labels, host_labels, rows_by_class
from ppreid.ise.support_samples import support_samples

EPSILON = 1e-6  # keeps quotient and logarithm finite; the value of the released code


def ise_objective(
    features: Tensor,
    labels: np.ndarray | Tensor,
    centroids: Tensor,
    degree: float,
    *,
    topk: int = 1,
    temperature: float = 0.05,
    lp_temperature: float = 0.6,
    lp_weight: float = 0.1,
    supports_in_contrast: bool = True,
    label_preserving: bool = True,
    batch: StepBatch | None = None,
    contrast_weights: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> LossTerms:
    """Cluster contrast over samples and supports plus the weighted label-preserving loss.

    Two switches make the four rows of the paper's ablation:

        row         supports_in_contrast   label_preserving
        baseline    False                  False               the batch alone: cluster contrast
        +PLI        True                   False               supports join contrast and memory
        +LP         False                  True                supports serve the LP loss only
        ISE         True                   True

    Args:
        features: (B, D) unit rows as the model returns them, any float type; the losses are computed in float32.
        labels: (B,) own clusters, 0..C-1; an array avoids waiting for the device (see `host_labels`).
        centroids: (C, D) unit rows, the memory before this step; constants.
        degree: extension of the supports, see `pli_degree`.
        topk: supports per sample, 0..C-1 (see `usable_topk`); 0 leaves the baseline.
        temperature: divisor of the similarities in the cluster contrast.
        lp_temperature: divisor of the similarities in the label-preserving loss.
        lp_weight: weight of the label-preserving loss.
        supports_in_contrast: whether supports are rows of the contrast and of the memory update.
        label_preserving: whether the label-preserving loss is added.
        batch: what else is known of the images; only the weights look at it.
        contrast_weights: clusters and cameras (B,) -> weights (B,) of the samples in the cluster contrast, which
            supports inherit; None: all weigh the same.

    Returns:
        The loss, its parts for the log, and the rows for the memory update: samples first, then supports.

    Raises:
        TrainingError: if a label has no centroid, `topk` other clusters are not there, or cameras are missing.

    Reference:
        Zhang et al., CVPR 2022, sections 3 and 4.
    """
    with paddle.amp.auto_cast(enable=False):  # a matrix product of float32 would run in half precision again
        features, centroids = features.astype("float32"), centroids.detach()
        labels = host_labels(labels)
        check_labels(labels, centroids.shape[0])
        rows, row_labels, sources = features, labels, np.arange(len(labels))
        # topk is 0 in an epoch with a single cluster: there is no other one to extend a sample to
        use_supports = topk > 0 and (supports_in_contrast or label_preserving)
        if use_supports:
            support, support_labels = support_samples(features, labels, centroids, degree=degree, k=topk)
            if supports_in_contrast:
                # Samples first: the sequential update ends each centroid on the rows that come last, the supports.
                rows = paddle.concat([features, support])  # (B * (1 + topk), D)
                row_labels = np.concatenate([labels, support_labels])
                sources = np.concatenate([sources, np.repeat(sources, topk)])

        weights = contrast_weights(labels, cameras_of(batch, labels))[sources] if contrast_weights else None
        total = cluster_contrast_loss(rows, row_labels, centroids, temperature=temperature, weights=weights)
        logs = {"loss_contrast": total.detach()}
        if use_supports and label_preserving:
            lp = label_preserving_loss(features, labels, support, support_labels, temperature=lp_temperature)
            total = total + lp_weight * lp
            logs["loss_lp"] = lp.detach()
        logs["loss"] = total.detach()
        # Detached, since the memory moves after the gradient step: what it learns has no part in the gradient.
        return LossTerms(total, logs, rows.detach(), row_labels, sources)


def cluster_contrast_loss(
    features: Tensor,
    labels: np.ndarray | Tensor,
    centroids: Tensor,
    *,
    temperature: float = 0.05,
    weights: np.ndarray | None = None,
) -> Tensor:
    """Cross entropy of the own cluster among all clusters, by cosine similarity.

    Args:
        features: (B, D) float32, samples and, where wanted, their supports below them; normalised here.
        labels: (B,) own clusters, 0..C-1.
        centroids: (C, D) unit rows, constants.
        temperature: divisor of the similarities, > 0.
        weights: (B,) factors of the rows; None: 1.

    Returns:
        Scalar, the mean over all rows passed: a support weighs as much as a sample. Weights are not divided out.

    Example:
        A sample on its own centroid, the other at a right angle: logits 2 and 0, so log(1 + exp(-2)).

        >>> centroids = paddle.to_tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(cluster_contrast_loss(centroids[:1], np.array([0]), centroids, temperature=0.5).item(), 4)
        0.1269

    Reference:
        Dai et al., "Cluster Contrast for Unsupervised Person Re-Identification", ACCV 2022. With supports among the
        rows it is the sample extension loss of Zhang et al., CVPR 2022, section 3.
    """
    similarity = paddle.matmul(F.normalize(features, axis=1), centroids, transpose_y=True)  # (B, C)
    targets = paddle.to_tensor(host_labels(labels))
    if weights is None:
        return F.cross_entropy(similarity / temperature, targets)
    losses = F.cross_entropy(similarity / temperature, targets, reduction="none").flatten()  # (B,)
    return (losses * paddle.to_tensor(weights.astype(np.float32))).mean()


def label_preserving_loss(
    features: Tensor,
    labels: np.ndarray | Tensor,
    support: Tensor,
    support_labels: np.ndarray | Tensor,
    *,
    temperature: float = 0.6,
) -> Tensor:
    """Draw each sample to the farthest support of its class, away from the nearest support of every other class.

    With e = exp(cosine / temperature), row i costs -log(p / (p + n)): p is the minimum of e over all supports with its
    label, n the sum over the other classes of the maximum of e.

    Args:
        features: (B, D) unit rows, float32.
        labels: (B,) classes of the samples, in any order and number per class.
        support: (S, D) unit rows, float32.
        support_labels: (S,) classes of the supports; every label of the batch occurs.
        temperature: divisor of the similarities, > 0.

    Returns:
        Scalar, the mean over the samples. About 0 when the batch holds a single class.

    Raises:
        TrainingError: if a sample has no support of its own class.

    Example:
        The sample at 0 degrees, supports of its class at 0 and 60, of the other class at 90 and 120: 60 and 90 count,
        cosines 0.5 and 0, so -log(e / (e + 1)).

        >>> angles = np.deg2rad([0, 60, 90, 120])
        >>> support = paddle.to_tensor(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32"))
        >>> labels, support_labels = np.array([0]), np.array([0, 0, 1, 1])
        >>> round(label_preserving_loss(support[:1], labels, support, support_labels, temperature=0.5).item(), 4)
        0.3133

    Reference:
        Zhang et al., CVPR 2022, section 3 (label-preserving loss).

    Note:
        The released code finds "one maximum per class" by position, which is right only while a batch consists of
        complete blocks of equal size. Here the labels decide; on such batches both agree.
    """
    labels = host_labels(labels)
    classes, rows, _ = rows_by_class(host_labels(support_labels))
    orphans = np.setdiff1d(labels, classes)
    if orphans.size:  # their p would be 0 and their loss a constant, -log(EPSILON), that hides a bug of the caller
        raise TrainingError(
            f"{orphans.size} classes of the batch have no support sample, for example {orphans[0]}; "
            "make the supports from the same batch"
        )
    # no maximum is subtracted first: at the temperature of the paper the exponent is at most 1 / 0.6, far from overflow
    exponential = paddle.exp(paddle.matmul(features, support, transpose_y=True) / temperature)  # (B, S)
    by_class = paddle.index_select(exponential, paddle.to_tensor(rows.ravel()), axis=1)
    by_class = by_class.reshape([labels.size, *rows.shape])  # (B, P, R)
    own = paddle.to_tensor(labels[:, None] == classes, dtype=exponential.dtype)  # (B, P)
    positive = hardest_positive_support(by_class, own)
    negative = hardest_negative_supports(by_class, own)
    return -paddle.log(positive / (positive + negative + EPSILON) + EPSILON).mean()


def hardest_positive_support(by_class: Tensor, own: Tensor) -> Tensor:
    """The term of each sample's own class: its farthest support.

    Args:
        by_class: (B, P, R) exp(cosine / temperature) to the supports of each class.
        own: (B, P) 1 at the class of the sample, 0 elsewhere.

    Returns:
        (B,) the minimum over the supports of the own class; those made from other samples of the class count as well.
    """
    # topk of one, since Paddle 2.6 returns an undefined gradient for amin and amax over an axis of length 1
    farthest = paddle.topk(by_class, 1, axis=2, largest=False)[0].squeeze(2)  # (B, P)
    return (farthest * own).sum(axis=1)


def hardest_negative_supports(by_class: Tensor, own: Tensor) -> Tensor:
    """The terms of all other classes: the nearest support of each.

    Args:
        by_class: (B, P, R) as in `hardest_positive_support`.
        own: (B, P) as in `hardest_positive_support`.

    Returns:
        (B,) the sum over the other classes of their maxima; 0 where there is no other class.
    """
    nearest = paddle.topk(by_class, 1, axis=2)[0].squeeze(2)  # (B, P)
    return (nearest * (1.0 - own)).sum(axis=1)
