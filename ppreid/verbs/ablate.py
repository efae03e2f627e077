"""ppreid ablate, tools/ablate.py: the paper's ablation, or whatever is to be compared, each row with several seeds."""

import argparse
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ppreid.base.environment import ask_for_determinism
from ppreid.base.errors import ClusteringError, ConfigError, Interrupted, PpreidError, TrainingError, unknown_choice
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig, scaled_to_devices
from ppreid.disk.checks import check_folder
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import write_text
from ppreid.disk.outputs import ABLATION_CSV, ABLATION_JSON, ABLATION_MD, Output, check_outputs
from ppreid.report.ablation_table import FinishedRun, finished_run, markdown, paper_numbers, run_table
from ppreid.run.log import log_result, logger
from ppreid.tables import OBJECTIVES
from ppreid.verbs.command import add_override, add_overwrite, for_training

EXAMPLES = """\
  python tools/ablate.py -c demo.yaml --seeds 3
  python tools/ablate.py -c demo.yaml --rows baseline,ise --seeds 2 -o solver.epochs=6 --out short
  python tools/ablate.py --dataset market1501 --seeds 3 -o data.root=/datasets
  python tools/ablate.py -c ise_market1501.yaml -c cie_chd_market1501.yaml --seeds 1,5 --compare --devices 0,1
  python tools/ablate.py -c demo.yaml --vary memory.momentum=0.1,0.2 --vary labels.eps=0.4,0.5 --csv - --out grid

The same command again goes on where it was interrupted and does not repeat finished runs. --dataset takes the
configurations of the paper's table: baseline_market1501.yaml, ise_pli_market1501.yaml and so on. Several -c, and every
combination of the values of --vary, are rows; the first one is what the others are compared with.
"""
ROWS = tuple(OBJECTIVES)[:4]  # of the paper; those of plugins are named
TABLE, RUNS, SUMMARY = "ablation.md", "ablation.csv", "ablation.json"
TABLES = {TABLE: ABLATION_MD, RUNS: ABLATION_CSV, SUMMARY: ABLATION_JSON}
_SET_HERE = {"ise.objective": "--rows", "output_dir": "--out"}
Ended = Generator[tuple[str, PpreidError | None], None, None]  # output_dir of a run, and what it failed of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    source = parser.add_mutually_exclusive_group(required=True)
    add = parser.add_argument
    source.add_argument("-c", "--config", dest="configs", action="append", help="YAML file; several are compared")
    source.add_argument("--dataset", choices=("market1501", "msmt17"), help="the paper's recipe for this data set")
    add("--rows", metavar="LIST", help=f"objectives (default: {','.join(ROWS)}, or those of the configurations)")
    add("--vary", action="append", default=[], metavar="KEY=A,B", help="a row for each value; several are combined")
    add("--seeds", default="3", metavar="N|A,B", help="runs per row, or their seeds (default: %(default)s)")
    add("--out", type=Path, metavar="FOLDER", help="default: output/ablation_ and the name of the data")
    add("--jobs", type=int, default=0, metavar="N", help="runs at a time, each in a process of its own")
    add("--devices", default="", metavar="LIST", help="GPUs by number, such as 0,1: one run at a time on each")
    add("--compare", action="store_true", help="rows query by query: a bootstrap, and a page")
    add("--csv", type=Path, metavar="FILE", help="also write the table as numbers")
    add("--latex", type=Path, metavar="FILE", help="also write the table for LaTeX")
    add_override(parser)
    add_overwrite(parser, "runs in FOLDER with another configuration, and files in the place of the tables")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    seeds, configs = _seeds(args.seeds), _configs(args)
    if any(cfg.deterministic for cfg in configs.values()):
        ask_for_determinism()
    name = next(iter(configs.values())).data.name
    out, more = args.out or Path("output") / f"ablation_{name}", {}
    if args.compare or args.csv or args.latex or args.jobs or args.devices:
        from ppreid.verbs.ablation_options import options

        more = options(args, out, list(configs), name)
    ablate(configs, out, seeds=seeds, overwrite=args.overwrite, **more)


def _seeds(text: str) -> int | list[int]:
    """Number of runs per row, or their seeds where there is a comma."""
    parts = [part for part in text.split(",") if part]
    found = [int(part) for part in parts if re.fullmatch(r"\d{1,9}", part)]
    if not found or len(set(found)) < len(parts) or ("," not in text and not found[0]):
        raise ConfigError(f"--seeds is {text}; it takes the number of runs per row, 1 or more, or their seeds: 1,5")
    return found if "," in text else found[0]


def _configs(args: argparse.Namespace) -> Mapping[str, TrainingConfig]:
    """Name and configuration of every row of the table."""
    for override in args.overrides:
        key = override.partition("=")[0].strip()
        if key in _SET_HERE:
            raise ConfigError(f"-o {override}: this command sets {key} for every run; use {_SET_HERE[key]}")
    files, rows = args.configs or [], list(dict.fromkeys(args.rows.split(","))) if args.rows else []
    for row in rows:
        if row not in OBJECTIVES:
            raise ConfigError(unknown_choice("--rows", row, OBJECTIVES))
    is_plain = len(files) < 2 and not args.vary
    rows = rows or (list(ROWS) if is_plain or args.dataset else [""])
    pairs = [(file, row) for file in files for row in rows] or [(f"{row}_{args.dataset}.yaml", row) for row in rows]
    if not is_plain:
        from ppreid.verbs.ablation_runs import combinations

        return combinations(pairs, args.vary, args.overrides)
    loaded = ((row, file, load_config(file, [*args.overrides, f"ise.objective={row}"])) for file, row in pairs)
    return {row: for_training(cfg, file) for row, file, cfg in loaded}


class _Cell(NamedTuple):
    """One run that the ablation consists of."""

    row: str
    cfg: TrainingConfig

    @property
    def folder(self) -> Path:
        return Path(self.cfg.output_dir)

    def finished(self) -> FinishedRun | None:
        return finished_run(self.folder, self.row, self.cfg.seed)


def _one_after_the_other(runs: Sequence[tuple[TrainingConfig, bool]]) -> Ended:
    """Train runs in this process."""
    from ppreid.run.checkpoint_set import AUTO
    from ppreid.verbs.train import train

    for turn, (cfg, is_replaced) in enumerate(runs, start=1):
        logger.info("run %d of %d: %s", turn, len(runs), cfg.output_dir)
        try:
            train(cfg, overwrite=is_replaced, resume="" if is_replaced else AUTO)
        except (ClusteringError, TrainingError) as error:
            yield cfg.output_dir, error
        else:
            yield cfg.output_dir, None


def ablate(
    configs: Mapping[str, TrainingConfig],
    out: Path,
    *,
    seeds: int | Sequence[int],
    overwrite: bool = False,
    train_all: Callable[..., Ended] = _one_after_the_other,
    more: Callable[[Sequence[FinishedRun]], None] | None = None,
) -> list[FinishedRun]:
    """Train every row with several seeds, and write a table of means and spreads after every run.

    Finished runs are not repeated and an interrupted one goes on. The first seed of all rows comes first.

    Args:
        configs: row of the table -> configuration.
        out: folder for the table and for one folder per run.
        seeds: how many runs there are of each row, the first with the seed of the first configuration; or the seeds.
        overwrite: replace runs of another configuration, each when its turn comes, and any file where the tables go.
        train_all: trains runs in this process, or several at a time, see `train_side_by_side`.
        more: what is written of the finished runs at the end, beside the table.

    Returns:
        All finished runs, in the order in which they are made.

    Raises:
        ConfigError: the folder holds runs of another configuration, or the data cannot be evaluated.
        PpreidError: a run failed. Where others may do better (clustering, training) they were made first.
        Interrupted: a signal came; what was done is saved.
    """
    first = next(iter(configs.values()))
    if not first.data.is_labelled:
        own = f"data.{first.data.name}"
        text = f"an ablation compares evaluations, and {own} has no labelled images; set {own}.query and {own}.gallery"
        raise ConfigError(f"{text} (docs/own-cameras.md)")
    check_folder(out)
    numbers = seeds if isinstance(seeds, Sequence) else range(first.seed, first.seed + seeds)
    cells = [_cell(row, cfg, seed, out) for seed in numbers for row, cfg in configs.items()]
    if out.is_dir():
        check_outputs([Output("--out", out / name, kind) for name, kind in TABLES.items()], overwrite=overwrite)
    replaced: set[Path] = set()
    if any(cell.folder.exists() for cell in cells):
        from ppreid.verbs.ablation_runs import is_changed

        replaced = {cell.folder for cell in cells if is_changed(cell.folder, cell.cfg, overwrite=overwrite)}
    waiting = [cell for cell in cells if cell.folder in replaced or cell.finished() is None]
    logger.info("%d of %d runs are finished", len(cells) - len(waiting), len(cells))
    failures: list[PpreidError] = []
    try:
        with closing(train_all([(cell.cfg, cell.folder in replaced) for cell in waiting])) as ended:
            for folder, error in ended:
                if error is not None:
                    logger.info("run %s failed: %s", folder, error)
                    failures.append(error)
                    continue
                replaced.discard(Path(folder))
                _write([cell for cell in cells if cell.folder not in replaced], out)
    except Interrupted as stop:
        raise Interrupted(stop.number, "the same command goes on") from None
    runs = _write([cell for cell in cells if cell.folder not in replaced], out)
    if more:
        more(runs)
    log_result("\n" + (out / TABLE).read_text(encoding="utf-8"))
    if failures:
        raise type(failures[0])(f"{len(failures)} of {len(cells)} runs failed, see above; first: {failures[0]}")
    return runs


def _cell(row: str, cfg: TrainingConfig, seed: int, out: Path) -> _Cell:
    """The run of a row with a seed, in a folder of its own."""
    cfg, _ = scaled_to_devices(cfg, devices=1)  # as the run itself will write it down
    folder = out / f"{re.sub(r'[^A-Za-z0-9.=+-]+', '_', row)}_seed{seed}"
    return _Cell(row, cfg.model_copy(update={"seed": seed, "output_dir": str(folder)}))


def _write(cells: Sequence[_Cell], out: Path) -> list[FinishedRun]:
    """The table as Markdown, every finished run as CSV, both as JSON; gives the finished runs."""
    runs = [run for run in (cell.finished() for cell in cells) if run is not None]
    cfg, rows = cells[0].cfg, list(dict.fromkeys(cell.row for cell in cells))
    facts = {"dataset": cfg.data.name, "epochs": cfg.solver.epochs, "runs": [run._asdict() for run in runs]}
    facts["paper_mAP_Rank-1"] = paper_numbers(cfg.data.name)
    write_text(out / TABLE, markdown(runs, rows, cfg.data.name))
    write_csv(out / RUNS, *run_table(runs))
    write_text(out / SUMMARY, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return runs
