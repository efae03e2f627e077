"""Camera entropy: clusters seen by many cameras weigh more in the contrast, and the memory learns across cameras.

Two parts that go together or alone. A cluster whose images of a batch come from many cameras says more about a person
than one of a single camera, so its loss weighs more (CIE). And each centroid moves towards the row that is at once far
from the centroid and typical of its camera (CHD). Cameras are told apart by their numbers and by nothing else.

Reference:
    3C, whose released code calls the two parts CIE and CHD; there is nothing of them in the ISE paper.
"""

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppreid.ise.class_rows import host_labels, rows_by_class


def camera_entropy(labels: np.ndarray, camids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of the cameras of each class of a batch.

    Args:
        labels: (B,) clusters.
        camids: (B,) cameras, any numbers.

    Returns:
        The classes (P,), ascending, and their entropies (P,) in bits.
    """
    classes, of_class = np.unique(labels, return_inverse=True)
    cameras, of_camera = np.unique(camids, return_inverse=True)
    counts = np.zeros((len(classes), len(cameras)))
    np.add.at(counts, (of_class.reshape(-1), of_camera.reshape(-1)), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)  # (P, cameras)
    return classes, -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)


def camera_entropy_weights(labels: np.ndarray | Tensor, camids: np.ndarray) -> np.ndarray:
    """Weights of images in the cluster contrast: exp(entropy of their class), 1 in the mean over classes.

    Args:
        labels: (B,) clusters of the images, without supports.
        camids: (B,) their cameras, any numbers.

    Returns:
        (B,) float64; all 1 where every class has the same shares of cameras, for example one camera each.

    Example:
        A class of one camera beside one of two: entropies 0 and 1 bit.

        >>> camera_entropy_weights(np.array([4, 4, 7, 7]), np.array([0, 0, 0, 5])).round(3).tolist()
        [0.538, 0.538, 1.462, 1.462]

    Note:
        The natural exponential of bits, as released, not of nats: a class of 15 cameras weighs 48 times one of a single
        camera.
    """
    labels = host_labels(labels)
    classes, bits = camera_entropy(labels, camids)
    raised = np.exp(bits)
    return (len(classes) * raised / raised.sum())[np.searchsorted(classes, labels)]


@paddle.no_grad()
def update_harmonic(
    centroids: Tensor, features: Tensor, labels: np.ndarray | Tensor, camids: np.ndarray, *, momentum: float
) -> Tensor:
    """Move the centroid of every class in the batch once, towards its row of the largest harmonic discrepancy.

    With r the direction of the mean of the rows of the same class and camera, a row f has s = 1 + f.r (how typical it
    is of its camera) and q = 1 - f.m (how far it is from its centroid m); h = q s / (q + s) is large where both are.

    Args:
        centroids: (C, D) unit rows; not changed.
        features: (M, D) unit rows.
        labels: (M,) clusters, 0..C-1.
        camids: (M,) their cameras, any numbers.
        momentum: weight of the old centroid.

    Returns:
        (C, D) unit rows; classes that are not in the batch keep their row.

    Example:
        Rows of one camera at 0 and 40 degrees and one of another camera at 60; the centroid is at 0. The last one is
        farthest from it and alone in its camera, so as typical as can be.

        >>> radians = np.deg2rad([0, 0, 40, 60])
        >>> unit = paddle.to_tensor(np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32"))
        >>> labels, camids = np.zeros(3, int), np.array([2, 2, 9])
        >>> ((x, y),) = update_harmonic(unit[:1], unit[1:], labels, camids, momentum=0.0).tolist()
        >>> round(float(np.rad2deg(np.arctan2(y, x))))
        60

    Note:
        Of equal rows the first of the class's first camera in the batch counts, as in the released code.
    """
    labels = host_labels(labels)
    pairs = np.stack([labels, host_labels(camids)], axis=1)
    _, first, of_pair = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    of_pair = of_pair.reshape(-1)  # (M,), number of the pair of class and camera
    members = paddle.to_tensor((of_pair == np.arange(len(first))[:, None]).astype(np.float32))  # (pairs, M)
    # the direction of the sum is that of the mean
    typical = F.normalize(paddle.matmul(members, features), axis=1)  # (pairs, D)
    likeness = 1.0 + (features * paddle.index_select(typical, paddle.to_tensor(of_pair))).sum(axis=1)  # (M,)
    own_centroids = paddle.index_select(centroids, paddle.to_tensor(labels))  # (M, D)
    distance = 1.0 - (features * own_centroids).sum(axis=1)  # (M,)
    # both are 0 only for a row that is its centroid and opposite to its camera
    discrepancy = distance * likeness / (distance + likeness).clip(min=1e-12)  # (M,)

    # by class, and in it camera after camera, so that the first maximum is the one that counts
    order = np.lexsort((np.arange(len(labels)), first[of_pair], labels))
    groups = rows_by_class(labels[order])
    rows, classes = paddle.to_tensor(order[groups.rows]), paddle.to_tensor(groups.classes)  # (P, R), (P,)
    by_class = paddle.index_select(discrepancy, rows.flatten()).reshape(groups.rows.shape)
    chosen = paddle.take_along_axis(rows, by_class.argmax(axis=1, keepdim=True), axis=1).flatten()  # (P,)
    old = paddle.index_select(centroids, classes)  # (P, D)
    new = F.normalize(momentum * old + (1.0 - momentum) * paddle.index_select(features, chosen), axis=1)
    return paddle.scatter(centroids, classes, new)
