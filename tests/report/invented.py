"""A run that never was: everything that a page can show, with the names that an attacker would choose."""

import numpy as np

from ppreid.evaluation.inputs import Identities
from ppreid.evaluation.ranking import evaluate_features
from ppreid.evaluation.track_pairs import Reassociation
from ppreid.evaluation.without_labels import Errors, LabelFreeResult
from ppreid.report.evidence import Evidence, MapEvidence, cluster_evidence, ranking_evidence
from ppreid.report.run_files import FINISHED, RunFiles

HOSTILE = '<img src=x onerror="alert(1)">'
PEOPLE, CAMERAS, SHOTS = 6, 3, 4


def invented_run(name: str, *, epochs: int = 4, evaluated: bool = True) -> RunFiles:
    rows = [
        {
            "event": "epoch",
            "epoch": epoch,
            "clusters": 4 + epoch,
            "outliers": 30 - epoch,
            "largest": 9,
            "images": 72,
            "label_stability": None if epoch == 1 else 0.5,
            "camera_mixing": 0.25 * epoch,
            "loss": 5.0 / epoch,
            "loss_contrast": 4.0,
            "loss_lp": None,
            "lr": 3.5e-4,
            "pli_degree": 0.1 * epoch,
            "stage_seconds": {"extract": 1.0, "train": 30.0},
        }
        for epoch in range(1, epochs + 1)
    ]
    evaluations = [
        {"event": "evaluation", "epoch": epoch, "mAP": 10.0 + epoch, "Rank-1": 20.0 + epoch, "valid_queries": 18}
        for epoch in range(0, epochs + 1, 2)
    ]
    config = {"data": {"name": "demo", "root": HOSTILE}, "solver": {"epochs": epochs}, "seed": 1}
    cameras = {0: HOSTILE}
    return RunFiles(name, config, rows, evaluations if evaluated else [], {"paddle": HOSTILE}, None, cameras, FINISHED)


def invented_evidence(records) -> Evidence:
    rng = np.random.default_rng(0)
    pids, camids = np.array([[record.pid, record.camid] for record in records]).T
    features = np.eye(PEOPLE + 1)[pids] + rng.normal(0, 0.4, (len(records), PEOPLE + 1))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    query, gallery = records[::SHOTS], [record for row, record in enumerate(records) if row % SHOTS]
    in_gallery = np.arange(len(records)) % SHOTS > 0
    q, g = features[~in_gallery], features[in_gallery]
    ids = Identities(pids[~in_gallery], pids[in_gallery], camids[~in_gallery], camids[in_gallery])
    result = evaluate_features(q, g, *ids)
    ranking = ranking_evidence(
        np.concatenate([q, g]), query, gallery, ids, result, per_kind=4, ignore_camera=False, seed=0
    )
    labels = np.where(rng.random(len(records)) < 0.2, -1, pids // 2)  # pairs of people share a cluster
    labels[(pids == 5) & (camids == 1)] = 7  # and one person is split
    rows = np.arange(0, len(records), 2)
    feature_map = MapEvidence(records, rows, rng.random((len(rows), 2)), labels[rows], "pca")
    clusters = cluster_evidence(labels, records, per_kind=3, seed=0)
    return Evidence(ranking, clusters, feature_map, ["A note with <b>markup</b>."], "a network", f"camera {HOSTILE}")


def tracks_that_miss(share: float) -> LabelFreeResult:
    """What tracks tell of a network that misses a share of the pairs of one person."""
    errors = (Errors(0.1, 0.4, 0.1, share / 2), Errors(0.01, 0.6, 0.01, share), Errors(0.001, 0.8, 0.001, 1.0))
    return LabelFreeResult(90, 40, 12, 0.9, errors, 0.6, (0.5, 0.7), 0.3, (), Reassociation(0, 0.0, 0.0))
