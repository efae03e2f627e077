"""ppreid ablate, tools/ablate.py: the paper's ablation, every row with several seeds, each an ordinary training run."""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ppreid.base.environment import ask_for_determinism
from ppreid.base.errors import (
    ClusteringError,
    ConfigError,
    DataError,
    Interrupted,
    PpreidError,
    TrainingError,
    unknown_choice,
)
from ppreid.base.reading import is_there
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig, scaled_to_devices
from ppreid.disk.checks import check_folder
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import write_text
from ppreid.disk.outputs import ABLATION_CSV, ABLATION_JSON, ABLATION_MD, Output, check_outputs
from ppreid.report.ablation_table import METRICS as COMPARED
from ppreid.report.ablation_table import FinishedRun, ablation_table, paper_numbers, run_table
from ppreid.run.log import log_result, logger
from ppreid.tables import OBJECTIVES
from ppreid.verbs.command import add_override, add_overwrite, for_training

EXAMPLES = """\
  python tools/ablate.py -c demo.yaml --seeds 3
  python tools/ablate.py -c demo.yaml --rows baseline,ise --seeds 2 -o solver.epochs=6 --out output/short
  python tools/ablate.py --dataset market1501 --seeds 3 -o data.root=/datasets

The same command again goes on where it was interrupted and does not repeat finished runs. --dataset takes the
configurations of the paper's table: baseline_market1501.yaml, ise_pli_market1501.yaml and so on.
"""
ROWS = tuple(OBJECTIVES)
TABLE, RUNS, SUMMARY = "ablation.md", "ablation.csv", "ablation.json"
TABLES = {TABLE: ABLATION_MD, RUNS: ABLATION_CSV, SUMMARY: ABLATION_JSON}
LEGEND = "Percent; mean ± standard deviation over seeds (number of seeds)."
_SET_HERE = {"ise.objective": "--rows", "output_dir": "--out"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-c", "--config", help="YAML file for all rows, found by name; ise.objective is set here")
    source.add_argument("--dataset", choices=("market1501", "msmt17"), help="the paper's recipe for this data set")
    parser.add_argument("--rows", default=",".join(ROWS), help="rows of the table (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs per row (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: output/ablation_ and the name of the data")
    add_override(parser)
    add_overwrite(parser, "runs in FOLDER with another configuration, and files in the place of the tables")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds is {args.seeds}; it takes the number of runs per row, 1 or more")
    configs = {row: _config(args, row) for row in _rows(args.rows)}
    if any(cfg.deterministic for cfg in configs.values()):
        ask_for_determinism()
    name = next(iter(configs.values())).data.name
    ablate(configs, args.out or Path("output") / f"ablation_{name}", seeds=args.seeds, overwrite=args.overwrite)


def _rows(text: str) -> list[str]:
    """Rows of "baseline,ise", each once."""
    rows = list(dict.fromkeys(text.split(",")))
    for row in rows:
        if row not in OBJECTIVES:
            raise ConfigError(unknown_choice("--rows", row, OBJECTIVES))
    return rows


def _config(args: argparse.Namespace, row: str) -> TrainingConfig:
    """The configuration of a row."""
    for override in args.overrides:
        key = override.partition("=")[0].strip()
        if key in _SET_HERE:
            raise ConfigError(f"-o {override}: this command sets {key} for every run; use {_SET_HERE[key]}")
    file = f"{row}_{args.dataset}.yaml" if args.dataset else args.config
    return for_training(load_config(file, [*args.overrides, f"ise.objective={row}"]), file)


class _Cell(NamedTuple):
    """One run that the ablation consists of."""

    row: str
    cfg: TrainingConfig

    @property
    def folder(self) -> Path:
        return Path(self.cfg.output_dir)


def ablate(
    configs: Mapping[str, TrainingConfig], out: Path, *, seeds: int, overwrite: bool = False
) -> list[FinishedRun]:
    """Train every row with several seeds, and write a table of means and spreads after every run.

    Finished runs are not repeated and an interrupted one goes on, so the same command can be given again at any time.
    The runs share the process, one after the other; the first seed of all rows comes first.

    Args:
        configs: row of the table (its objective) -> configuration; its seed is the first one.
        out: folder for the table and for one folder per run.
        seeds: how many runs there are of each row.
        overwrite: replace runs of another configuration, each when its turn comes, and any file where the tables go.

    Returns:
        All finished runs, in the order in which they are made.

    Raises:
        ConfigError: the folder holds runs of another configuration, or the data cannot be evaluated.
        PpreidError: a run failed. Where others may do better (clustering, training) they were made first.
        Interrupted: a signal came; what was done is saved.
    """
    from ppreid.run.checkpoint_set import AUTO
    from ppreid.verbs.train import train

    _require_evaluation(next(iter(configs.values())))
    check_folder(out)
    cells = [_cell(row, cfg, cfg.seed + i, out) for i in range(seeds) for row, cfg in configs.items()]
    if out.is_dir():
        check_outputs([Output("--out", out / name, kind) for name, kind in TABLES.items()], overwrite=overwrite)
    replaced = {cell.folder for cell in cells if _is_changed(cell, overwrite=overwrite)}
    failures: list[PpreidError] = []
    for turn, cell in enumerate(cells, start=1):
        is_replaced = cell.folder in replaced
        is_finished = not is_replaced and _finished(cell) is not None
        logger.info("run %d of %d: %s%s", turn, len(cells), cell.folder, " is finished" if is_finished else "")
        try:
            if not is_finished:
                train(cell.cfg, overwrite=is_replaced, resume="" if is_replaced else AUTO)
                replaced.discard(cell.folder)
                _write([cell for cell in cells if cell.folder not in replaced], out)
        except Interrupted as stop:
            raise Interrupted(stop.number, "the same command goes on") from None
        except (ClusteringError, TrainingError) as error:
            logger.info("run %s failed: %s", cell.folder, error)
            failures.append(error)
    runs = _write([cell for cell in cells if cell.folder not in replaced], out)
    log_result("\n" + (out / TABLE).read_text(encoding="utf-8"))
    if failures:
        raise type(failures[0])(f"{len(failures)} of {len(cells)} runs failed, see above; first: {failures[0]}")
    return runs


def _require_evaluation(cfg: TrainingConfig) -> None:
    """Refuse a data set whose runs cannot be compared, before hours are spent on them."""
    if not cfg.data.is_labelled:
        raise ConfigError(
            f"an ablation compares evaluations, and data.{cfg.data.name} has no labelled images; set "
            f"data.{cfg.data.name}.query and data.{cfg.data.name}.gallery (docs/own-cameras.md)"
        )


def _cell(row: str, cfg: TrainingConfig, seed: int, out: Path) -> _Cell:
    """The run of a row with a seed, in a folder of its own."""
    cfg, _ = scaled_to_devices(cfg, devices=1)  # as the run itself will write it down
    return _Cell(row, cfg.model_copy(update={"seed": seed, "output_dir": str(out / f"{row}_seed{seed}")}))


def _is_changed(cell: _Cell, *, overwrite: bool) -> bool:
    """Whether the run in a folder has another configuration, in which case a table would compare unlike runs.

    Raises:
        ConfigError: it has, and is not to be replaced.
    """
    from ppreid.run.folder import CONFIG

    file = cell.folder / CONFIG
    if not file.exists():
        return False
    from ppreid.run.resume import changed_keys, effect

    changed = changed_keys(load_config(file, alone=True).model_dump(), cell.cfg.model_dump())
    refused = [item for item in changed if effect(item[0]) != "none" or item[0].startswith("eval.")]
    if refused and not overwrite:
        lines = "\n".join(f"  - {key}: {old!r} then, {new!r} now" for key, old, new in refused)
        raise ConfigError(
            f"{cell.folder} is a run with another configuration; change these keys back, choose another folder (--out) "
            f"or pass --overwrite\n{lines}"
        )
    return bool(refused)


def _finished(cell: _Cell) -> FinishedRun | None:
    """What a run ended with; None if it has not ended."""
    from ppreid.report.run_files import number
    from ppreid.run.folder import METRICS
    from ppreid.run.metrics import read_metrics

    file = cell.folder / METRICS
    rows = read_metrics(file) if is_there(file, DataError) else []
    if not rows or rows[-1]["event"] != "summary":
        return None
    for part, name in product(("last", "best"), (*COMPARED, "epoch")):
        evaluation = rows[-1].get(part)
        if number(evaluation.get(name) if isinstance(evaluation, dict) else None) is None:
            raise DataError(f"{file}:{len(rows)}: {part} has no number {name}; delete the line, and --resume the run")
    return FinishedRun(cell.row, cell.cfg.seed, str(cell.folder), rows[-1]["last"], rows[-1]["best"])


def _write(cells: Sequence[_Cell], out: Path) -> list[FinishedRun]:
    """The table as Markdown, every finished run as CSV, both as JSON; gives the finished runs."""
    runs = [run for run in map(_finished, cells) if run is not None]
    cfg = cells[0].cfg
    table = ablation_table(runs, list(dict.fromkeys(cell.row for cell in cells)), cfg.data.name)
    facts = {"dataset": cfg.data.name, "epochs": cfg.solver.epochs, "runs": [run._asdict() for run in runs]}
    facts["paper_mAP_Rank-1"] = paper_numbers(cfg.data.name)
    write_text(out / TABLE, f"{table}\n{LEGEND}\n")
    write_csv(out / RUNS, *run_table(runs))
    write_text(out / SUMMARY, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return runs
