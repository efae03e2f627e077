"""The paper's ablation as one command: every row with several seeds, each an ordinary training run."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ppreid.app.training import train
from ppreid.base.errors import ClusteringError, ConfigError, Interrupted, PpreidError, TrainingError
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig, scaled_to_devices
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import write_text
from ppreid.report.ablation_table import FinishedRun, ablation_table, paper_numbers, run_table
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import CONFIG, METRICS
from ppreid.run.metrics import read_metrics
from ppreid.run.resume import changed_keys, effect

logger = logging.getLogger("ppreid")

TABLE, RUNS, SUMMARY = "ablation.md", "ablation.csv", "ablation.json"
LEGEND = "Percent; mean ± standard deviation over seeds (number of seeds)."


class _Cell(NamedTuple):
    """One run that the ablation consists of."""

    row: str
    cfg: TrainingConfig

    @property
    def folder(self) -> Path:
        return Path(self.cfg.output_dir)


def ablate(configs: Mapping[str, TrainingConfig], out: Path, *, seeds: int) -> list[FinishedRun]:
    """Train every row with several seeds, and write a table of means and spreads after every run.

    Finished runs are not repeated and an interrupted one goes on, so the same command can be given again at any time.
    The runs share the process, one after the other; the first seed of all rows comes first.

    Args:
        configs: row of the table (its objective) -> configuration; its seed is the first one.
        out: folder for the table and for one folder per run.
        seeds: how many runs there are of each row.

    Returns:
        All finished runs, in the order in which they are made.

    Raises:
        ConfigError: the folder holds runs of another configuration, or the data cannot be evaluated.
        PpreidError: a run failed. Where others may do better (clustering, training) they were made first.
        Interrupted: a signal came; what was done is saved.
    """
    _require_evaluation(next(iter(configs.values())))
    cells = [_cell(row, cfg, cfg.seed + i, out) for i in range(seeds) for row, cfg in configs.items()]
    for cell in cells:
        _check_unchanged(cell)
    failures: list[PpreidError] = []
    for number, cell in enumerate(cells, start=1):
        is_finished = _finished(cell) is not None
        logger.info("run %d of %d: %s%s", number, len(cells), cell.folder, " is finished" if is_finished else "")
        try:
            if not is_finished:
                train(cell.cfg, resume=AUTO)
                _write(cells, out)
        except Interrupted as stop:
            raise Interrupted(stop.number, "the same command goes on") from None
        except (ClusteringError, TrainingError) as error:
            logger.info("run %s failed: %s", cell.folder, error)
            failures.append(error)
    runs = _write(cells, out)
    logger.info("\n%s", (out / TABLE).read_text(encoding="utf-8"))
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


def _check_unchanged(cell: _Cell) -> None:
    """Refuse a folder whose run was made with another configuration: a table of it would compare unlike runs."""
    file = cell.folder / CONFIG
    if not file.exists():
        return
    changed = changed_keys(load_config(file).model_dump(), cell.cfg.model_dump())
    refused = [item for item in changed if effect(item[0]) != "none" or item[0].startswith("eval.")]
    if refused:
        lines = "\n".join(f"  - {key}: {old!r} then, {new!r} now" for key, old, new in refused)
        raise ConfigError(
            f"{cell.folder} is a run with another configuration; change these keys back, or choose another folder "
            f"(--out)\n{lines}"
        )


def _finished(cell: _Cell) -> FinishedRun | None:
    """What a run ended with; None if it has not ended."""
    file = cell.folder / METRICS
    rows = read_metrics(file) if file.exists() else []
    if not rows or rows[-1]["event"] != "summary":
        return None
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
