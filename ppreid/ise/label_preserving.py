"""The label-preserving loss: supports stay with the class of the sample that they were made from."""

import numpy as np
import paddle
from paddle import Tensor

from ppreid.base.errors import TrainingError
from ppreid.ise.class_rows import host_labels, rows_by_class

EPSILON = 1e-6  # keeps quotient and logarithm finite; the value of the released code


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

    Reference:
        Zhang et al., CVPR 2022, section 3 (label-preserving loss).

    Note:
        The released code finds "one maximum per class" by position, which is right only while a batch consists of
        complete blocks of equal size, and otherwise changes the formula silently. Here the labels decide; on such
        regular batches both agree.
    """
    labels = host_labels(labels)
    classes, rows, _ = rows_by_class(host_labels(support_labels))
    is_own = labels[:, None] == classes  # (B, P)
    if not is_own.any(axis=1).all():
        orphans = np.setdiff1d(labels, classes)
        raise TrainingError(
            f"{orphans.size} classes of the batch have no support sample, for example {orphans[0]}; "
            "make the supports from the same batch"
        )
    exponential = paddle.exp(paddle.matmul(features, support, transpose_y=True) / temperature)  # (B, S)
    by_class = paddle.index_select(exponential, paddle.to_tensor(rows.ravel()), axis=1)
    by_class = by_class.reshape([labels.size, *rows.shape])  # (B, P, R)
    own = paddle.to_tensor(is_own, dtype=exponential.dtype)
    # topk of one, since Paddle 2.6 returns an undefined gradient for amin and amax over an axis of length 1
    farthest = paddle.topk(by_class, 1, axis=2, largest=False)[0].squeeze(2)  # (B, P)
    nearest = paddle.topk(by_class, 1, axis=2)[0].squeeze(2)
    positive = (farthest * own).sum(axis=1)  # (B,)
    negative = (nearest * (1.0 - own)).sum(axis=1)
    return -paddle.log(positive / (positive + negative + EPSILON) + EPSILON).mean()
