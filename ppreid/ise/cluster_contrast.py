"""Cluster contrast: every sample against the centroids of all clusters."""

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppreid.ise.class_rows import host_labels


def cluster_contrast_loss(
    features: Tensor, labels: np.ndarray | Tensor, centroids: Tensor, *, temperature: float = 0.05
) -> Tensor:
    """Cross entropy of the own cluster among all clusters, by cosine similarity.

    Args:
        features: (B, D) float32, samples and, where wanted, their supports below them; normalised here.
        labels: (B,) own clusters, 0..C-1.
        centroids: (C, D) unit rows, constants.
        temperature: divisor of the similarities, > 0.

    Returns:
        Scalar, the mean over all rows passed: a support weighs as much as a sample.

    Reference:
        Dai et al., "Cluster Contrast for Unsupervised Person Re-Identification", ACCV 2022. With supports among the
        rows it is the sample extension loss of Zhang et al., CVPR 2022, section 3.
    """
    similarity = paddle.matmul(F.normalize(features, axis=1), centroids, transpose_y=True)  # (B, C)
    return F.cross_entropy(similarity / temperature, paddle.to_tensor(host_labels(labels)))
