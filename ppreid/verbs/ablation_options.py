"""What ablate writes beyond its table: rows compared query by query, a page of who wins where, CSV and LaTeX."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ppreid.base.errors import ConfigError, DataError
from ppreid.base.reading import is_there
from ppreid.config.schema import Config
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import file_sha256, write_text
from ppreid.disk.outputs import ABLATION_TABLE, LATEX, REPORT, Output, check_outputs
from ppreid.disk.text import read_json
from ppreid.evaluation.bootstrap import Difference, paired_bootstrap
from ppreid.report.ablation_formats import latex_table, number_table
from ppreid.report.ablation_table import (
    LEGEND,
    FinishedRun,
    collapsed_note,
    compared_with,
    markdown,
    table_cells,
    title,
)
from ppreid.run.folder import LAST, RESULTS
from ppreid.run.log import leave_standard_output_to, logger
from ppreid.verbs.ablate import TABLE
from ppreid.verbs.command import run_config

PAGE = "ablation.html"
SHOWN = 12  # queries of each kind on the page
_SEED = 0  # of the draws: the same runs give the same interval


def options(args: argparse.Namespace, out: Path, rows: Sequence[str], dataset: str) -> dict[str, Any]:
    """What `ablate` takes for the options that were given; names of files are checked.

    Args:
        args: of the command line.
        out: folder of the ablation.
        rows: of its table.
        dataset: data.name.

    Raises:
        ConfigError: an option is wrong, or a file is not to be replaced.
    """
    devices = [device for device in args.devices.split(",") if device]
    if args.jobs < 0 or not all(device.isdecimal() for device in devices):
        raise ConfigError(f"--jobs is {args.jobs}, --devices {args.devices!r}; they take a number, and such as 0,1")
    page = out / PAGE if args.compare else None
    named = [("--csv", args.csv, ABLATION_TABLE), ("--latex", args.latex, LATEX)]
    named += [("--out", page if out.is_dir() else None, REPORT)]
    check_outputs([Output(option, file, kind) for option, file, kind in named if file], overwrite=args.overwrite)
    leave_standard_output_to(args.csv, args.latex)
    found: dict[str, Any] = {}
    if page or args.csv or args.latex:
        files = {"table": out / TABLE, "page": page, "csv": args.csv, "latex": args.latex}
        found["more"] = partial(_write_more, rows=rows, dataset=dataset, **files)
    if args.jobs or devices:
        from ppreid.verbs.ablation_jobs import train_side_by_side

        jobs = min(args.jobs or len(devices), len(devices) or args.jobs)
        found["train_all"] = partial(train_side_by_side, jobs=jobs, devices=devices)
    return found


def _write_more(
    runs: Sequence[FinishedRun],
    rows: Sequence[str],
    dataset: str,
    *,
    table: Path,
    page: Path | None,
    csv: Path | None,
    latex: Path | None,
) -> None:
    """Write what was asked for beside the table, which gets a column of what is compared query by query."""
    compared = _compared(runs, compared_with(rows), page) if page else {}
    if page:
        write_text(table, markdown(runs, rows, dataset, compared))
    if csv:
        write_csv(csv, *number_table(runs, rows, compared))
    if latex:
        cells, legend = table_cells(runs, rows, dataset, compared), f"{LEGEND}\n{collapsed_note(runs)}"
        write_text(latex, latex_table(cells, legend))
    for file in filter(None, (csv, latex)):
        logger.info("written: %s", file)


def _compared(runs: Sequence[FinishedRun], base: str, page: Path) -> dict[str, Difference]:
    """Compare every row with one of them, on the queries of the last networks, and write a page of who wins where.

    Args:
        runs: that are finished; collapsed ones are left out.
        base: the row that the others are compared with.
        page: HTML file to write.

    Returns:
        For each other row that has a seed in common with it: the difference in mAP, in percent.

    Raises:
        PpreidError: a network cannot be evaluated, or results are damaged.
    """
    precision = {(run.row, run.seed): _average_precision(Path(run.folder)) for run in runs if not run.collapsed}
    rows = {row: {seed: values for (name, seed), values in precision.items() if name == row} for row, _ in precision}
    found, mean = {}, {}
    for row in rows:
        seeds = sorted(rows[row].keys() & rows.get(base, {}).keys())
        if row == base or not seeds:
            continue
        own, other = (np.stack([rows[name][seed] for seed in seeds]) for name in (row, base))  # (S, Q)
        found[row] = paired_bootstrap(own, other, rng=np.random.default_rng(_SEED))
        mean[row] = np.stack([own.mean(axis=0), other.mean(axis=0)])  # (2, Q)
    if mean:
        _write_page(page, base, found, mean, Path(runs[0].folder))
    return found


def _average_precision(folder: Path) -> np.ndarray:
    """Average precision in percent of every query (Q,) with the last network of a run, NaN where there is none.

    What an evaluation has left is taken if it was of this network, data and ways to compare; otherwise one is made, as
    `ppreid eval --last`.

    Raises:
        DataError: the results are damaged.
    """
    cfg = run_config(folder, network="last")
    if not _is_of(folder, cfg):
        from ppreid.verbs.evaluate import evaluate

        logger.info("evaluation of %s, query by query", folder)
        evaluate(cfg)
    values = read_json(folder / RESULTS).get("results", {}).get("average_precision")
    is_right = isinstance(values, list) and all(
        value is None or (isinstance(value, float | int) and 0 <= value <= 1) for value in values
    )
    if not is_right:
        raise DataError(f"{folder / RESULTS} has no list of average precisions; delete it")
    return 100 * np.array([math.nan if value is None else value for value in values])


def _is_of(folder: Path, cfg: Config) -> bool:
    """Whether the results in a folder are of its last network, on its own data and compared as it was configured."""
    if not is_there(folder / RESULTS, DataError):
        return False
    found, parts = read_json(folder / RESULTS), {"data", "eval"}
    weights, config = found.get("weights"), found.get("config")
    if not (isinstance(weights, dict) and isinstance(config, dict)):
        return False
    wanted = json.loads(json.dumps(cfg.model_dump(include=parts)))  # where tuples are lists
    is_same = {name: config.get(name) for name in parts} == wanted
    return is_same and weights.get("sha256") == file_sha256(folder / LAST)


def _write_page(
    page: Path, base: str, found: Mapping[str, Difference], mean: Mapping[str, np.ndarray], folder: Path
) -> None:
    """The page: for every row the queries that it wins and loses most, with what both reach."""
    from ppreid.report.cluster_sheets import Thumbnails
    from ppreid.report.page import rendered
    from ppreid.verbs.inputs import read_split

    query = read_split(run_config(folder, network="last").data, skipped_list=None).query
    sections = []
    for row, (own, other) in mean.items():
        if len(own) != len(query):
            raise DataError(f"{row} was evaluated on {len(own)} queries, and the data set has {len(query)}")
        gain = own - other
        order = [int(place) for place in np.argsort(-gain, kind="stable") if not math.isnan(gain[place])]
        kinds = {
            f"{title(row)} is better": [place for place in order if gain[place] > 0][:SHOWN],
            f"{title(base)} is better": [place for place in reversed(order) if gain[place] < 0][:SHOWN],
        }
        counts = [int((gain > 0).sum()), int((gain < 0).sum()), int((gain == 0).sum())]
        lists = {
            title: [(query[place], float(own[place]), float(other[place])) for place in places]
            for title, places in kinds.items()
        }
        sections.append((title(row), found[row], counts, lists))
    text = rendered("ablation.html.j2", base=title(base), sections=sections, picture=Thumbnails().uri)
    write_text(page, text)
    logger.info("written: %s", page)
