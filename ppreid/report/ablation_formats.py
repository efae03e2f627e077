"""The table of an ablation for spreadsheets and papers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ppreid.evaluation.bootstrap import Difference
from ppreid.report.ablation_table import METRICS, FinishedRun, compared_with, gain, sound, spread

_LATEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def latex_table(cells: Sequence[Sequence[str]], legend: str) -> str:
    """Cells as a tabular of LaTeX, which needs no package."""
    lines = [" & ".join("".join(_LATEX.get(letter, letter) for letter in cell) for cell in line) for line in cells]
    head, *rest = [f"{line} \\\\\n" for line in lines]
    columns = "l" + "r" * (len(cells[0]) - 1)
    table = f"\\begin{{tabular}}{{{columns}}}\n\\hline\n{head}\\hline\n{''.join(rest)}\\hline\n\\end{{tabular}}\n"
    return "".join(f"% ppreid ablate: {line}\n" for line in legend.splitlines()) + table


def number_table(
    runs: Sequence[FinishedRun], rows: Sequence[str], compared: Mapping[str, Difference]
) -> tuple[list[str], list[list[Any]]]:
    """The same as numbers: names of columns, and one line per row of the table; empty cells where there is nothing."""
    parts = ("last mAP", "last Rank-1", "best mAP", "difference, same seeds")
    names = [f"{part}, {of}" for part in parts for of in ("mean", "std")]
    of_queries = ["difference over queries", "low", "high", "p"]
    lines = []
    for row in rows:
        mine = sound(runs, row)
        spreads = [spread([run.last[name] for run in mine]) for name in METRICS]
        spreads += [spread([run.best["mAP"] for run in mine]), gain(runs, row, compared_with(rows))]
        values = [value for each in spreads for value in each[:2]] + list(compared.get(row, ())[:4] or [math.nan] * 4)
        num_collapsed = sum(run.row == row for run in runs) - len(mine)
        lines.append(
            [row, len(mine), num_collapsed, *("" if math.isnan(value) else round(value, 4) for value in values)]
        )
    return ["row", "runs", "collapsed", *names, *of_queries], lines
