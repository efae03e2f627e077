"""Tables of a report: names of columns, and cells with a number to sort by and its text."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ppreid.base.numbers import compact, fixed
from ppreid.report.cluster_facts import CameraFacts, ClusterFacts
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
