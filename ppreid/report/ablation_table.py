"""What several runs of each row of an ablation say: means and spreads in a table, and every run by itself."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.numbers import fixed
from ppreid.base.reading import is_there
from ppreid.tables import OBJECTIVES

if TYPE_CHECKING:
    from ppreid.evaluation.bootstrap import Difference

METRICS = ("mAP", "Rank-1")
LEGEND = "Percent; mean ± standard deviation over seeds (number of seeds)."
_NONE: Mapping[str, Any] = MappingProxyType({})


class FinishedRun(NamedTuple):
    """One run of an ablation.

    Attributes:
        row: of the table: an objective, e.g. "ise_pli", or what is compared, e.g. "momentum=0.1".
        seed: of the run.
        folder: where it is.
        last: evaluation after the last epoch, a row of metrics.jsonl.
        best: the evaluation with the highest mAP.
        collapsed: how it ended where there was nothing left to learn, e.g. "one cluster in epoch 4"; "" otherwise.
    """

    row: str
    seed: int
    folder: str
    last: Mapping[str, Any]
    best: Mapping[str, Any]
    collapsed: str = ""


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


def finished_run(folder: Path, row: str, seed: int) -> FinishedRun | None:
    """What a run ended with; None if it has not ended.

    Raises:
        DataError: what the folder says is damaged.
    """
    from ppreid.report.run_files import number
    from ppreid.run.folder import METRICS as FILE
    from ppreid.run.metrics import read_metrics

    file = folder / FILE
    rows = read_metrics(file) if is_there(file, DataError) else []
    if not rows or rows[-1]["event"] != "summary":
        return None
    for part, name in product(("last", "best"), (*METRICS, "epoch")):
        evaluation = rows[-1].get(part)
        if number(evaluation.get(name) if isinstance(evaluation, dict) else None) is None:
            raise DataError(f"{file}:{len(rows)}: {part} has no number {name}; delete the line, and --resume the run")
    epoch: Mapping[str, Any] = next((row for row in reversed(rows) if row["event"] == "epoch"), _NONE)
    reasons = [text for key, value, text in (("clusters", 1, "one cluster"), ("loss", 0, "loss 0"))
               if key in epoch and epoch[key] == value]  # fmt: skip
    collapsed = f"{', '.join(reasons)} in epoch {epoch['epoch']}" if reasons else ""
    return FinishedRun(row, seed, str(folder), rows[-1]["last"], rows[-1]["best"], collapsed)


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (divisor n - 1) of values; none and one are allowed."""
    mean = statistics.fmean(values) if values else math.nan
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return Spread(mean, std, len(values))


def paper_numbers(dataset: str) -> dict[str, tuple[float, float]]:
    """The paper's mAP and Rank-1 in percent for each row; empty where it has none for the data set."""
    return {name: row.paper[dataset] for name, row in OBJECTIVES.items() if dataset in row.paper}


def title(row: str) -> str:
    """Name of a row in the table: that of an objective, or the row itself."""
    return OBJECTIVES[row].title if row in OBJECTIVES else row


def compared_with(rows: Sequence[str]) -> str:
    """The row that the others are compared with: the baseline if it is among them, otherwise the first."""
    return next(iter(OBJECTIVES)) if next(iter(OBJECTIVES)) in rows else rows[0]


def gain(runs: Sequence[FinishedRun], row: str, base: str) -> Spread:
    """Difference of the last mAP to that of another row with the same seed, which began with the same weights."""
    own, other = ({run.seed: run.last["mAP"] for run in sound(runs, name)} for name in (row, base))
    return spread([own[seed] - other[seed] for seed in own if seed in other])


def sound(runs: Sequence[FinishedRun], row: str) -> list[FinishedRun]:
    """Runs of a row that did not collapse: the number of one that did says nothing of the method."""
    return [run for run in runs if run.row == row and not run.collapsed]


def collapsed_note(runs: Sequence[FinishedRun]) -> str:
    """A line that names the runs which are in no mean; empty where there are none."""
    named = ", ".join(f"{Path(run.folder).name} ({run.collapsed})" for run in runs if run.collapsed)
    return f"In no mean, since they collapsed: {named}.\n" if named else ""


def table_cells(
    runs: Sequence[FinishedRun], rows: Sequence[str], dataset: str, compared: Mapping[str, "Difference"] = _NONE
) -> list[list[str]]:
    """Header and one line of cells per row; the paper's numbers only where it has any for the data set.

    Args:
        runs: that are finished, in any order.
        rows: of the table, in its order, at least one.
        dataset: data.name.
        compared: row -> difference to the row of `compared_with`, query by query; a column of it where there is any.
    """
    base, paper = compared_with(rows), paper_numbers(dataset) if set(rows) & set(OBJECTIVES) else {}
    header = ["row", "mAP, last epoch", "Rank-1, last epoch", "mAP, best epoch", f"mAP - {title(base)}, same seeds"]
    header += [f"over queries and seeds: mAP - {title(base)}, 95 % interval, p"] * bool(compared)
    header += [f"the paper, {dataset}: mAP (Rank-1)"] * bool(paper)
    lines = [header]
    for row in rows:
        mine = sound(runs, row)
        cells = [title(row), *(str(spread([run.last[name] for run in mine])) for name in METRICS)]
        cells.append(str(spread([run.best["mAP"] for run in mine])))
        cells.append("" if row == base else str(gain(runs, row, base)))
        if compared:
            found = compared.get(row)
            interval = (
                found and f"{fixed(found.mean, 1)} [{fixed(found.low, 1)}, {fixed(found.high, 1)}], {found.p:.3f}"
            )
            cells.append(interval or "")
        if paper:
            cells.append("{:.1f} ({:.1f})".format(*paper[row]) if row in paper else "")
        lines.append(cells)
    return lines


def markdown(
    runs: Sequence[FinishedRun], rows: Sequence[str], dataset: str, compared: Mapping[str, "Difference"] = _NONE
) -> str:
    """The table with what belongs below it; the arguments are those of `table_cells`."""
    return f"{ablation_table(table_cells(runs, rows, dataset, compared))}\n{LEGEND}\n{collapsed_note(runs)}"


def ablation_table(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table."""
    lines = [cells[0], ["---"] * len(cells[0]), *cells[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def run_table(runs: Sequence[FinishedRun]) -> tuple[list[str], list[list[Any]]]:
    """Names of columns, and one line per run: row, seed, metrics of the last and of the best epoch, folder."""
    names = [f"{which} {name}" for which in ("last", "best") for name in (*METRICS, "epoch")]
    lines = []
    for run in runs:
        values = [evaluation[name] for evaluation in (run.last, run.best) for name in (*METRICS, "epoch")]
        lines.append([run.row, run.seed, *values, run.folder, run.collapsed])
    return ["row", "seed", *names, "folder", "collapsed"], lines
