"""What several runs of each row of an ablation say: means and spreads in a table, and every run by itself."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ppreid.base.numbers import fixed
from ppreid.tables import OBJECTIVES

METRICS = ("mAP", "Rank-1")


class FinishedRun(NamedTuple):
    """One run of an ablation.

    Attributes:
        row: objective, e.g. "ise_pli".
        seed: of the run.
        folder: where it is.
        last: evaluation after the last epoch, a row of metrics.jsonl.
        best: the evaluation with the highest mAP.
    """

    row: str
    seed: int
    folder: str
    last: Mapping[str, Any]
    best: Mapping[str, Any]


class Spread(NamedTuple):
    """Mean, sample standard deviation (nan for fewer than two values) and number of values."""

    mean: float
    std: float
    n: int

    def __str__(self) -> str:
        """E.g. "46.1 ± 2.2 (3)"; a single value has no spread."""
        if not self.n:
            return "-"
        return f"{fixed(self.mean, 1)} ± {self.std:.1f} ({self.n})" if self.n > 1 else f"{fixed(self.mean, 1)} (1)"


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (divisor n - 1) of values; none and one are allowed."""
    mean = statistics.fmean(values) if values else math.nan
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return Spread(mean, std, len(values))


def paper_numbers(dataset: str) -> dict[str, tuple[float, float]]:
    """The paper's mAP and Rank-1 in percent for each row; empty where it has none for the data set."""
    return {name: row.paper[dataset] for name, row in OBJECTIVES.items() if dataset in row.paper}


def baseline() -> str:
    """The row that the others are compared with, the first of the table."""
    return next(iter(OBJECTIVES))


def gain_over_baseline(runs: Sequence[FinishedRun], row: str) -> Spread:
    """Difference of the last mAP to the baseline of the same seed, which began with the same weights."""
    plain = {run.seed: run.last["mAP"] for run in runs if run.row == baseline()}
    return spread([run.last["mAP"] - plain[run.seed] for run in runs if run.row == row and run.seed in plain])


def ablation_table(runs: Sequence[FinishedRun], rows: Sequence[str], dataset: str) -> str:
    """Markdown table: one line per row; the paper's numbers only where it has any for the data set.

    Args:
        runs: that are finished, in any order.
        rows: objectives, in the order of the table.
        dataset: data.name.
    """
    header = ["row", "mAP, last epoch", "Rank-1, last epoch", "mAP, best epoch", "mAP - Baseline, same seeds"]
    paper = paper_numbers(dataset)
    if paper:
        header.append(f"the paper, {dataset}: mAP (Rank-1)")
    lines = [header, ["---"] * len(header)]
    for row in rows:
        mine = [run for run in runs if run.row == row]
        cells = [OBJECTIVES[row].title, *(str(spread([run.last[name] for run in mine])) for name in METRICS)]
        cells.append(str(spread([run.best["mAP"] for run in mine])))
        cells.append("" if row == baseline() else str(gain_over_baseline(runs, row)))
        if paper:
            cells.append("{:.1f} ({:.1f})".format(*paper[row]) if row in paper else "")
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def run_table(runs: Sequence[FinishedRun]) -> tuple[list[str], list[list[Any]]]:
    """Names of columns, and one line per run: row, seed, metrics of the last and of the best epoch, folder."""
    names = [f"{which} {name}" for which in ("last", "best") for name in (*METRICS, "epoch")]
    lines = []
    for run in runs:
        values = [evaluation[name] for evaluation in (run.last, run.best) for name in (*METRICS, "epoch")]
        lines.append([run.row, run.seed, *values, run.folder])
    return ["row", "seed", *names, "folder"], lines
