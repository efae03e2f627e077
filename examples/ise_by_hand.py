"""ISE on one screen: own arrays and an own loop; no configuration, no run folder, no loader.

    python examples/ise_by_hand.py

draws 24 people, learns from them without their identities, and measures on 12 others; a minute and a half of one core.
"""

import sys
from pathlib import Path

import numpy as np
import paddle

import ppreid  # noqa: F401 - before paddle, see ppreid/__init__.py
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.clustering.labels import cluster_centroids, dbscan_labels
from ppreid.datasets.image_file import load_image
from ppreid.datasets.transforms import eval_transform, train_transform
from ppreid.demo.generated import generate_demo_dataset
from ppreid.evaluation.ranking import evaluate_features
from ppreid.ise.memory import ClusterMemory, update_hard
from ppreid.ise.objective import ise_objective
from ppreid.ise.support_samples import pli_degree
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet
from ppreid.training.optimizer import adam_with_l2

SIZE = {"height": 64, "width": 32}


def main(folder: Path, *, epochs: int = 6, steps: int = 40, people: int = 24) -> list[float]:
    """Train and evaluate; gives the mAP before training and after every epoch."""
    data = generate_demo_dataset(folder, train_identities=people, test_identities=people // 2, distractors=0, **SIZE)
    images = [load_image(record.path) for record in data.train]
    query, gallery = ([eval_transform(load_image(record.path), **SIZE) for record in part] for part in data[1:])
    pids = [np.array([record.pid for record in part]) for part in data[1:]]
    camids = [np.array([record.camid for record in part]) for part in data[1:]]
    rng = np.random.default_rng(0)
    paddle.seed(0)
    model = ReIDNet(resnet(18, base_width=24))
    optimizer = adam_with_l2(model, lr=1e-3, weight_decay=5e-4)

    @paddle.no_grad()
    def features_of(arrays: list[np.ndarray]) -> np.ndarray:
        model.eval()
        parts = [np.stack(arrays[start : start + 64]) for start in range(0, len(arrays), 64)]
        return np.concatenate([model(paddle.to_tensor(part)).numpy() for part in parts])  # (N, D)

    def mean_ap() -> float:
        return evaluate_features(features_of(query), features_of(gallery), *pids, *camids).mean_ap

    history = [mean_ap()]
    print(f"before: mAP {history[0]:.3f}")
    for epoch in range(epochs):
        features = features_of([eval_transform(image, **SIZE) for image in images])  # (N, D)
        labels = dbscan_labels(jaccard_distance(features, k1=15, k2=4), eps=0.6, min_samples=4)  # (N,)
        memory = ClusterMemory(cluster_centroids(features, labels), update_hard, 0.2)  # (C, D)
        model.train()
        for step in range(epoch * steps, (epoch + 1) * steps):
            clusters = rng.permutation(labels.max() + 1)[:8]
            rows = np.concatenate([rng.choice(np.flatnonzero(labels == cluster), 4) for cluster in clusters])  # (B,)
            batch = np.stack([train_transform(images[row], rng, pad=4, **SIZE) for row in rows])  # (B, 3, H, W)
            degree = pli_degree(step, epochs * steps)
            terms = ise_objective(model(paddle.to_tensor(batch)), labels[rows], memory.centroids, degree)
            terms.total.backward()
            optimizer.step()
            optimizer.clear_grad()
            memory.update(terms.memory_features, terms.memory_labels)
        history.append(mean_ap())
        print(f"epoch {epoch + 1}: {labels.max() + 1} clusters, {np.sum(labels < 0)} outliers, mAP {history[-1]:.3f}")
    return history


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/by_hand"))
