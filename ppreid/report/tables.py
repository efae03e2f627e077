"""Tables of a report, and the numbers of clusters and cameras that stand in them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ppreid.base.numbers import compact, fixed
from ppreid.report.curves import STAGES
from ppreid.report.headline import best_evaluation, total_seconds
from ppreid.report.run_files import RunFiles, number

Value = float | None
# digits behind the point, by column; the others are written in the fewest characters
_DIGITS = {
    **dict.fromkeys(("mAP", "Rank-1", "Rank-5", "Rank-10", "mINP", "best mAP"), 1),
    **dict.fromkeys(("purity, %", "outliers, %", "seconds", "minutes"), 1),
    **dict.fromkeys(("loss", "loss_contrast", "loss_lp", "camera mixing"), 2),
    "pli_degree": 3,
}


class ClusterFacts(NamedTuple):
    """One cluster.

    Attributes:
        cluster: its label.
        images: in it.
        cameras: among them; 0 where none is known.
        camera_mixing: entropy of the cameras over the largest possible one, within [0, 1]; None where the data set has
            fewer than two cameras.
        identities: among them; None where not all identities of the data set are known.
        purity: share of the most frequent identity; None likewise.
    """

    cluster: int
    images: int
    cameras: int
    camera_mixing: float | None
    identities: int | None
    purity: float | None


class CameraFacts(NamedTuple):
    """One camera: its 0-based number (-1 unknown), its images, and how many of them are outliers."""

    camera: int
    images: int
    outliers: int


def all_known(ids: np.ndarray) -> bool:
    """Whether there are identities and none is -1."""
    return bool(len(ids) and (ids >= 0).all())


def cluster_facts(labels: np.ndarray, pids: np.ndarray, camids: np.ndarray) -> list[ClusterFacts]:
    """All clusters, the largest first.

    Args:
        labels: (N,) cluster of every image, -1 for outliers.
        pids: (N,) identities, -1 unknown.
        camids: (N,) cameras, -1 unknown.
    """
    inside = labels >= 0
    clusters, rows = np.unique(labels[inside], return_inverse=True)
    sizes = np.bincount(rows, minlength=len(clusters))
    cameras = _counts(rows, camids[inside], len(clusters))
    identities = _counts(rows, pids[inside], len(clusters)) if all_known(pids) else None
    num_cameras = len(np.unique(camids[camids >= 0]))
    facts = []
    for row in np.argsort(-sizes, kind="stable"):
        people = None if identities is None else identities[row]
        facts.append(
            ClusterFacts(
                int(clusters[row]),
                int(sizes[row]),
                len(cameras[row]),
                _normalised_entropy(cameras[row], num_cameras),
                None if people is None else len(people),
                None if people is None else float(people.max() / people.sum()),
            )
        )
    return facts


def camera_facts(labels: np.ndarray, camids: np.ndarray) -> list[CameraFacts]:
    """Images and outliers of every camera, in the order of the cameras.

    Args:
        labels: (N,) cluster of every image, -1 for outliers.
        camids: (N,) cameras, -1 unknown.
    """
    return [
        CameraFacts(int(camera), int((camids == camera).sum()), int(((camids == camera) & (labels < 0)).sum()))
        for camera in np.unique(camids)
    ]


class Cell(NamedTuple):
    """A number to sort by, None where there is none, and its text."""

    value: Value
    text: str


class Table(NamedTuple):
    """Names of the columns, and the rows."""

    columns: list[str]
    rows: list[list[Cell]]


def epoch_table(run: RunFiles) -> Table:
    """Every epoch with its evaluation, if it has one."""
    epochs = {row["epoch"]: row for row in run.epochs}
    evaluations = {row["epoch"]: row for row in run.evaluations}
    rows = []
    for epoch in sorted(epochs.keys() | evaluations.keys()):
        row: dict[str, Value] = {"epoch": epoch}
        evaluation, training = evaluations.get(epoch, {}), epochs.get(epoch, {})
        row |= {key: number(evaluation.get(key)) for key in ("mAP", "Rank-1", "Rank-5", "Rank-10", "mINP")}
        for key in ("loss", "loss_contrast", "loss_lp", "clusters", "outliers", "largest", "lr", "pli_degree"):
            row[key] = number(training.get(key))
        stages = training.get("stage_seconds")
        row["seconds"] = sum(number(stages.get(key)) or 0.0 for key in STAGES) if isinstance(stages, dict) else None
        rows.append(row)
    return _table(rows)


def comparison_table(runs: Sequence[RunFiles]) -> Table:
    """Last and best numbers of every run."""
    rows = []
    for run in runs:
        last = run.evaluations[-1] if run.evaluations else {}
        best = best_evaluation(run) or {}
        epoch = run.epochs[-1] if run.epochs else {}
        row: dict[str, Value] = {"epochs": len(run.epochs)}
        row |= {key: number(last.get(key)) for key in ("mAP", "Rank-1", "mINP")}
        row |= {"best mAP": number(best.get("mAP")), "best epoch": number(best.get("epoch"))}
        row |= {key: number(epoch.get(key)) for key in ("clusters", "outliers")}
        rows.append(row | {"minutes": total_seconds(run) / 60})
    return _table(rows)


def cluster_table(facts: Sequence[ClusterFacts]) -> Table:
    """One row per cluster."""
    return _table(
        [
            {
                "cluster": fact.cluster,
                "images": fact.images,
                "cameras": fact.cameras or None,
                "camera mixing": fact.camera_mixing,
                "people": fact.identities,
                "purity, %": None if fact.purity is None else 100 * fact.purity,
            }
            for fact in facts
        ]
    )


def camera_table(cameras: Sequence[CameraFacts], names: Mapping[int, str]) -> Table:
    """Cameras with their share of outliers; the unknown camera has no number.

    Args:
        cameras: all that took training images.
        names: of those that have one.
    """
    table = _table(
        [
            {
                "camera": fact.camera + 1 or None,
                "images": fact.images,
                "outliers": fact.outliers,
                "outliers, %": 100 * fact.outliers / fact.images,
            }
            for fact in cameras
        ]
    )
    for fact, row in zip(cameras, table.rows, strict=True):
        if fact.camera in names:
            row[0] = Cell(row[0].value, f"{row[0].text} ({names[fact.camera]})")
    return table


def _table(rows: Sequence[Mapping[str, Value]]) -> Table:
    """Rows of the same keys; keys without any number are left out."""
    columns = [key for key in (rows[0] if rows else ()) if any(row[key] is not None for row in rows)]
    return Table(columns, [[Cell(row[key], _text(row[key], _DIGITS.get(key))) for key in columns] for row in rows])


def _text(value: Value, digits: int | None) -> str:
    return compact(value) if value is None or digits is None else fixed(value, digits)


def _counts(rows: np.ndarray, values: np.ndarray, num_rows: int) -> list[np.ndarray]:
    """How often each value occurs in each row; unknown ones (-1) are left out."""
    pairs, counts = np.unique(np.stack([rows, values])[:, values >= 0], axis=1, return_counts=True)
    return np.split(counts, np.searchsorted(pairs[0], np.arange(1, num_rows)))


def _normalised_entropy(counts: np.ndarray, num_values: int) -> float | None:
    if num_values < 2:
        return None
    shares = counts / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum() / np.log(num_values))
