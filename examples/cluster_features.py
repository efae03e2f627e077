"""Pseudo labels of features from anywhere: an .npy file of rows in, one cluster number per row out.

python examples/cluster_features.py features.npy labels.txt
"""

import sys

import numpy as np

from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import dbscan_labels


def pseudo_labels(features: np.ndarray, *, eps: float = 0.5) -> np.ndarray:
    """Features (N, D) of any length to labels (N,), -1 for outliers."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances = jaccard_distance(unit.astype(np.float32), k1=30, k2=6, max_distance=eps)  # sparse (N, N)
    return dbscan_labels(distances, eps=eps, min_samples=4)


if __name__ == "__main__":
    labels = pseudo_labels(np.load(sys.argv[1]))
    np.savetxt(sys.argv[2], labels, fmt="%d")
    print(f"{labels.max() + 1} clusters, {np.sum(labels < 0)} outliers of {len(labels)}")
