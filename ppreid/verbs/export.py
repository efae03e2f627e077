"""ppreid export, tools/export.py: a network as files for other programs, or features for FiftyOne."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import ConfigError, unknown_choice
from ppreid.config.schema import Config
from ppreid.disk.checks import check_folder
from ppreid.disk.outputs import refuse_inputs
from ppreid.tables import EXPORT_TARGETS, LAYOUTS
from ppreid.verbs.command import add_overwrite, add_run_arguments, read_config

if TYPE_CHECKING:
    from ppreid.export.network import ParityRow

EXAMPLES = """\
  python tools/export.py output/demo --out net
  python tools/export.py output/recordings --for ultralytics --out person.onnx
  python tools/export.py output/recordings --for boxmot --out person.onnx
  python tools/export.py -c ResNet50_UReID_infer.yaml --out net
  python tools/export.py -c ResNet50_UReID_infer.yaml --out net --formats paddle --overwrite
  python tools/export.py --to fiftyone --features train.npy --labels output/demo/labels.csv --out view

The exported network takes RGB pixels and normalises them itself; export.json beside it says everything a caller must
know. Nothing is written unless every format computes the features of the network to 1e-4. tools/predict.py runs it.
--for writes one ONNX file that a tracker takes, and says what the tracker's own way to resize crops costs.
--to fiftyone writes images (by path), features and labels in a form that FiftyOne loads.
"""
FORMATS = ("paddle", "onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_run_arguments(parser, default="base.yaml")
    parser.add_argument(
        "--to", choices=("network", "fiftyone"), default="network", help="what to export (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to make; with --for a file")
    parser.add_argument("--for", dest="target", metavar="TRACKER", help=f"one ONNX file: {' or '.join(EXPORT_TARGETS)}")
    parser.add_argument("--evaluate", action="store_true", help="with --for: also mAP with either way to resize")
    parser.add_argument(
        "--formats", metavar="LIST", help=f"paddle (Paddle Inference), onnx, or both (default: {','.join(FORMATS)})"
    )
    parser.add_argument("--layout", metavar="NAME", help=f"of the input: {', '.join(LAYOUTS)} (default: the first)")
    parser.add_argument("--features", type=Path, metavar="FILE", help="for fiftyone: of tools/extract.py")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="for fiftyone: CSV with path and cluster")
    add_overwrite(parser, "an earlier export in FOLDER")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.to == "fiftyone":
        if args.features is None:
            raise ConfigError("--to fiftyone needs --features FILE; tools/extract.py writes it")
        from ppreid.export.fiftyone import export_fiftyone

        export_fiftyone(args.features, args.out, labels_file=args.labels, overwrite=args.overwrite)
        return
    if args.features or args.labels:
        raise ConfigError("--features and --labels go with --to fiftyone")
    if args.target is None:
        if args.evaluate:
            raise ConfigError("--evaluate goes with --for; tools/eval.py evaluates a network")
        formats = FORMATS if args.formats is None else args.formats.split(",")
        layout = next(iter(LAYOUTS)) if args.layout is None else args.layout
        export(read_config(args), args.out, formats=formats, layout=layout, overwrite=args.overwrite)
        return
    if not (args.formats is None and args.layout is None):
        raise ConfigError("--for says format and layout; leave --formats and --layout out")
    if args.target not in EXPORT_TARGETS:
        raise ConfigError(unknown_choice("--for", args.target, EXPORT_TARGETS))
    from ppreid.verbs.tracker_export import export_for

    export_for(read_config(args), args.out, target=args.target, evaluate=args.evaluate, overwrite=args.overwrite)


def export(
    cfg: Config,
    output: Path,
    *,
    formats: Sequence[str] = FORMATS,
    layout: str = "nhwc-uint8",
    overwrite: bool = False,
) -> list[ParityRow]:
    """Write a trained network as files that run without ppreid; nothing is written unless they compute the same.

    The check runs on the CPU, whatever `device` says, with noise and with drawn people of the real size.

    Args:
        cfg: the network and the size of its images; of a training configuration only the keys that evaluation reads.
        output: folder to make.
        formats: "paddle" (Paddle Inference), "onnx", or both.
        layout: what the exported network takes, a key of LAYOUTS.
        overwrite: replace another export in `output`; without it, one that a kill left unfinished is finished.

    Returns:
        How far every format is from the network.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.export.write import write_export
    from ppreid.processes.device import use_device
    from ppreid.verbs.network import network_facts, trained_network

    if layout not in LAYOUTS:
        raise ConfigError(unknown_choice("--layout", layout, LAYOUTS))
    _check_request(output, formats, Path(cfg.model.weights))
    use_device("cpu")
    model, weights = trained_network(cfg.model, cfg.data)
    facts = network_facts(cfg, weights)
    return write_export(model, output, facts, formats=formats, layout=layout, overwrite=overwrite)


def _check_request(output: Path, formats: Sequence[str], weights: Path) -> None:
    """Refuse before the work what would be refused after it."""
    from ppreid.export.exported import EXPORT_FILES
    from ppreid.export.network import require_onnx

    for name in formats or ("",):
        if name not in FORMATS:
            raise ConfigError(unknown_choice("--formats", name, FORMATS))
    check_folder(output)
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file; give a folder for the export")
    for name in EXPORT_FILES:
        if (output / name).exists():
            refuse_inputs("--out", output / name, [weights])
    if "onnx" in formats:
        require_onnx(otherwise=", or leave onnx out of --formats")
