"""ppreid export --for: a network as one ONNX file for a tracker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import ConfigError, EvaluationError
from ppreid.config.schema import Config
from ppreid.run.log import logger
from ppreid.tables import EXPORT_TARGETS

if TYPE_CHECKING:
    from ppreid.export.exported import ExportedNetwork
    from ppreid.export.trackers import Resize, ResizingLoss


def export_for(
    cfg: Config, output: Path, *, target: str, evaluate: bool = False, overwrite: bool = False
) -> list[ResizingLoss]:
    """Write a trained network as one ONNX file that a tracker takes; nothing is written unless it computes the same.

    Args:
        cfg: the network and the size of its images; of a training configuration only the keys that evaluation reads.
        output: file to write, NAME.onnx; what the tracker reads beside it is written as well.
        target: a key of EXPORT_TARGETS.
        evaluate: also evaluate the file on the query and gallery of the data set, with either way to resize.
        overwrite: replace files in these places, whatever they are.

    Returns:
        What the tracker's way to resize does to the features of drawn people.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.export.network import require_onnx
    from ppreid.export.trackers import write_for_tracker
    from ppreid.processes.device import use_device
    from ppreid.verbs.network import network_facts, trained_network

    _check_file(output, target, [Path(cfg.model.weights)], overwrite=overwrite)
    require_onnx()
    use_device("cpu")
    measure = _evaluation(cfg) if evaluate else None
    model, weights = trained_network(cfg.model, cfg.data)
    return write_for_tracker(model, output, network_facts(cfg, weights), target=target, evaluate=measure)


def _check_file(output: Path, target: str, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a file, or one beside it, that would destroy something."""
    from ppreid.disk.outputs import ONNX_NETWORK, ONNX_SIDECAR, Output, check_outputs
    from ppreid.disk.places import is_stream
    from ppreid.export.trackers import sidecar_path

    outputs = [Output("--out", output, ONNX_NETWORK)]
    if EXPORT_TARGETS[target].sidecar:
        if is_stream(output):
            raise ConfigError(f"{target} reads a second file beside the network, so --out {output} is no place for it")
        outputs.append(Output("", sidecar_path(output), ONNX_SIDECAR))
    check_outputs(outputs, overwrite=overwrite, inputs=inputs)


def _evaluation(cfg: Config) -> Callable[[ExportedNetwork, Resize], None]:
    """What measures an exported network on the query and gallery of the data set and prints the table."""
    from ppreid import wiring
    from ppreid.evaluation.results import format_results
    from ppreid.export.trackers import ranking_with
    from ppreid.verbs.inputs import read_split

    split = read_split(cfg.data, skipped_list=None)
    if not (split.query and split.gallery):
        raise EvaluationError(
            f"data set {cfg.data.name} has no labelled query and gallery images; leave --evaluate out"
        )

    def evaluate(network: ExportedNetwork, theirs: Resize) -> None:
        results = ranking_with(network, split, theirs, rank=wiring.ranking(cfg.eval))
        logger.info("the exported network with either way to resize\n%s", format_results(results))

    return evaluate
