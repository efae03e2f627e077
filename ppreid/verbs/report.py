"""ppreid report, tools/report.py: read the folder of a run, look at its network and its images, write one page."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import ConfigError, DataError, PpreidError, PpreidWarning
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig
from ppreid.disk.files import write_text
from ppreid.run.log import logger
from ppreid.verbs.command import add_override, add_overwrite

if TYPE_CHECKING:
    from paddle.nn import Layer

    from ppreid.base.records import ReIDSplit
    from ppreid.report.evidence import Evidence
    from ppreid.report.run_files import RunFiles

EXAMPLES = """\
  python tools/report.py output/demo
  python tools/report.py output/demo -o data.root=/datasets -o report.projection=tsne --out demo.html
  python tools/report.py output/demo --language zh
  python tools/report.py output/baseline output/ise --out comparison.html

The first writes output/demo/report.html, also while that run is going on. Several runs are laid over each other.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a training run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="HTML file to write; default report.html in RUN")
    add_overwrite(parser, "a file in the place of the page, whatever it is")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="network to look at")
    parser.add_argument("--language", choices=("en", "zh"), help="of the page; default: report.language of the run")
    parser.add_argument("--no-images", action="store_true", help="use neither network nor data set")
    add_override(parser, what="set one key of the run's configuration, e.g. where its data set is now")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    path = report(
        args.runs,
        out=args.out,
        overrides=args.overrides,
        checkpoint=args.checkpoint,
        images=not args.no_images,
        overwrite=args.overwrite,
        language=args.language,
    )
    logger.info("written: %s", path)


def report(
    folders: Sequence[Path],
    *,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    checkpoint: str = "last",
    images: bool = True,
    overwrite: bool = False,
    language: str | None = None,
) -> Path:
    """Make the page of one run, also of one that is still going on, or compare several.

    Args:
        folders: output_dir of every run; of several, only the numbers and configurations are compared.
        out: file to write; None is report.html in the folder of the one run.
        overrides: "key=value" for the configuration of the one run, e.g. where its data set is now.
        checkpoint: "last" or "best": the network that is looked at.
        images: look at network and data set; otherwise only at what the folder says.
        overwrite: replace any file in the place of the page, not only an earlier page.
        language: "en" or "zh"; None is that of the first run.

    Returns:
        The file that was written.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.report.gather import labels_alone
    from ppreid.report.page import run_page
    from ppreid.report.run_files import flat, read_run
    from ppreid.run.folder import REPORT
    from ppreid.run.lock import process_at_work

    runs = [read_run(folder, is_running=bool(process_at_work(folder))) for folder in folders]
    language = language or flat(runs[0].config).get("report.language", "en")
    if len(runs) > 1:
        if out is None:
            raise ConfigError(f"a comparison of {len(runs)} runs belongs to no folder; say where to write it (--out)")
        _check_output("--out", out, folders, overwrite=overwrite)
        from ppreid.report.comparison import comparison_page

        write_text(out, comparison_page(list(zip(_distinct_names(folders), runs, strict=True)), language=language))
        return out
    path = out or folders[0] / REPORT
    _check_output("--out" if out else "", path, folders, overwrite=overwrite)
    evidence = _evidence_from_disk(folders[0], runs[0], overrides, checkpoint) if images else labels_alone(runs[0])
    write_text(path, run_page(runs[0], evidence, reference=_reference(), language=language))
    return path


def report_of_training(folder: Path, cfg: TrainingConfig, split: ReIDSplit, model: Layer) -> None:
    """Make the page of a run that has just finished, with what it has in memory; a failure costs nothing but the page.

    Args:
        folder: of the run.
        cfg: its configuration.
        split: its data set.
        model: its last network.
    """
    from ppreid.report.page import run_page
    from ppreid.report.run_files import read_run
    from ppreid.run.folder import REPORT

    try:
        _check_output("", folder / REPORT, [folder], overwrite=False)
        run = read_run(folder, is_running=False)
        evidence = _evidence(cfg, split, model, run, network="the last network of the run")
        page = run_page(run, evidence, reference=_reference(), language=cfg.report.language)
        write_text(folder / REPORT, page)
        logger.info("report: %s", folder / REPORT)
    except Exception as error:  # noqa: BLE001 - hours of training are done and saved; they must not end in an error
        again = f"python tools/report.py {folder}"
        logger.error("the run is complete, but its report could not be made: %s; make it again: %s", error, again)


def _check_output(option: str, path: Path, folders: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a page that would destroy something."""
    from ppreid.disk.outputs import REPORT, Output, check_outputs
    from ppreid.run import folder

    inputs = [run / name for run in folders for name in folder.OWN_FILES if name != folder.REPORT]
    check_outputs([Output(option, path, REPORT)], overwrite=overwrite, inputs=inputs)


def _evidence_from_disk(folder: Path, run: RunFiles, overrides: Sequence[str], checkpoint: str) -> Evidence:
    """Evidence from a checkpoint and the data set; where they are not there, the report is made without and says so."""
    from ppreid.processes.device import use_device
    from ppreid.report.gather import labels_alone
    from ppreid.run.folder import BEST, CONFIG, LAST
    from ppreid.verbs.inputs import read_split
    from ppreid.verbs.network import trained_network

    try:
        cfg = load_config(folder / CONFIG, overrides, alone=True)
        if not isinstance(cfg, TrainingConfig):
            raise DataError(f"{folder / CONFIG} is not the configuration of a training run")
        logger.info("device: %s", use_device(cfg.device))
        split = read_split(cfg.data, skipped_list=None)
        file = folder / {"last": LAST, "best": BEST}[checkpoint]
        own = cfg.model.model_copy(update={"weights": str(file), "weights_sha256": ""})
        model, _ = trained_network(own, cfg.data)
        return _evidence(cfg, split, model, run, network=f"the {checkpoint} network of the run")
    except PpreidError as error:
        if overrides and isinstance(error, ConfigError):
            raise
        text = f"Rank lists, images and the map are missing: {error}"
        warnings.warn(text, PpreidWarning, stacklevel=3)
        return labels_alone(run)._replace(notes=[text])


def _evidence(cfg: TrainingConfig, split: ReIDSplit, model: Layer, run: RunFiles, *, network: str) -> Evidence:
    """What the configuration says about the parts of the page."""
    from ppreid import tables, wiring
    from ppreid.report.gather import gather_evidence
    from ppreid.wiring.unlabelled import labelled_evidence, unlabelled_evidence

    colours = wiring.colours(cfg, split)
    seen = labelled_evidence(cfg, split, model) if split.query else unlabelled_evidence(cfg, split, model, run)
    mapped = wiring.track_map(cfg, split, wiring.extractor(cfg.eval, flip=cfg.eval.flip))(model)
    evidence = gather_evidence(
        run,
        split,
        extract=seen.extract,
        rank=wiring.ranking(cfg.eval),
        prepare=wiring.prepared(cfg.eval, split, colours, mapped),
        project=tables.resolve(tables.PROJECTIONS[cfg.report.projection].function),
        projection=cfg.report.projection,
        num_clusters=cfg.report.clusters,
        num_queries=cfg.report.queries,
        num_points=cfg.report.map_images,
        ignore_camera=cfg.eval.ignore_camera,
        seed=cfg.seed,
    )
    evidence = evidence._replace(network=network, eps=seen.eps, across=seen.across)
    if any(record.track >= 0 for part in split for record in part):
        from ppreid.verbs.without_labels import told_by_tracks

        evidence = told_by_tracks(evidence, cfg, split, model, run.cameras)
    return evidence


def _reference() -> dict:
    """What every configuration is shown against."""
    return load_config("base.yaml").model_dump()


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """Folder names; whole paths where two folders have the same name."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
