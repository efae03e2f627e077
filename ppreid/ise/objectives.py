"""The training objective of ISE and its ablations: what is minimised, and what the memory learns from a step."""

from typing import NamedTuple

import numpy as np
import paddle
from paddle import Tensor

from ppreid.ise.class_rows import check_labels, host_labels
from ppreid.ise.cluster_contrast import cluster_contrast_loss
from ppreid.ise.label_preserving import label_preserving_loss
from ppreid.ise.support_samples import support_samples


class LossTerms(NamedTuple):
    """What an objective hands to the training step.

    Attributes:
        total: scalar to minimise.
        logs: detached scalars by name: "loss", "loss_contrast" and, where it is used, "loss_lp".
        memory_features: (M, D) rows that move the memory after the gradient step, detached.
        memory_labels: (M,) int64, their clusters.
    """

    total: Tensor
    logs: dict[str, Tensor]
    memory_features: Tensor
    memory_labels: np.ndarray


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
) -> LossTerms:
    """Cluster contrast over samples and supports plus the weighted label-preserving loss.

    The two switches make the four rows of the paper's ablation:

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

    Returns:
        The loss, its parts for the log, and the rows for the memory update: samples first, then supports.

    Raises:
        TrainingError: if a label has no centroid, or there are not `topk` other clusters.

    Reference:
        Zhang et al., CVPR 2022, section 3; table of ablations in section 4.
    """
    with paddle.amp.auto_cast(enable=False):  # matmul would run in half precision again
        features, centroids = features.astype("float32"), centroids.detach()
        labels = host_labels(labels)
        check_labels(labels, centroids.shape[0])
        rows, row_labels = features, labels
        use_supports = topk > 0 and (supports_in_contrast or label_preserving)
        if use_supports:
            support, support_labels = support_samples(features, labels, centroids, degree=degree, k=topk)
            if supports_in_contrast:
                rows = paddle.concat([features, support])  # (B * (1 + topk), D)
                row_labels = np.concatenate([labels, support_labels])

        total = cluster_contrast_loss(rows, row_labels, centroids, temperature=temperature)
        logs = {"loss_contrast": total.detach()}
        if use_supports and label_preserving:
            lp = label_preserving_loss(features, labels, support, support_labels, temperature=lp_temperature)
            total = total + lp_weight * lp
            logs["loss_lp"] = lp.detach()
        logs["loss"] = total.detach()
        return LossTerms(total, logs, rows.detach(), row_labels)
