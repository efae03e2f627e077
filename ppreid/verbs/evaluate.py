"""ppreid eval, tools/eval.py: read, extract, rank, report."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import EvaluationError
from ppreid.config.run import EvaluationSettings
from ppreid.config.schema import Config
from ppreid.disk.checks import make_folder
from ppreid.disk.files import write_text
from ppreid.disk.outputs import RESULTS_JSON, Output, check_outputs
from ppreid.run.log import log_result, logger
from ppreid.tables import DATASETS
from ppreid.verbs.command import add_overwrite, add_run_arguments, read_config

if TYPE_CHECKING:
    from ppreid.contracts import Ranker
    from ppreid.evaluation.ranking import RankingResult
    from ppreid.processes.ranks import Ranks

EXAMPLES = """\
  python tools/eval.py output/demo
  python tools/eval.py output/demo --last -o eval.rerank=true
  python tools/eval.py output/recordings --without-labels
  python tools/eval.py -c ResNet50_UReID_infer.yaml
  python tools/eval.py -c ResNet50_UReID_infer.yaml -o data.name=msmt17 -o model.weights=FILE
"""
PLAIN, RERANKED = "plain", "re-ranked"  # rows of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_run_arguments(parser)
    parser.add_argument(
        "--without-labels", action="store_true", help="error rates and threshold from tracks, which need no labels"
    )
    add_overwrite(parser, "files in output_dir that are in the place of the results, whatever they are")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_config(args)
    if args.without_labels:
        from ppreid.verbs.without_labels import evaluate_without_labels

        evaluate_without_labels(cfg, overwrite=args.overwrite)
    else:
        evaluate(cfg, overwrite=args.overwrite)


def evaluate(cfg: Config, *, overwrite: bool = False) -> RankingResult | None:
    """Evaluate a trained network.

    Args:
        cfg: what to evaluate; of a training configuration only the keys that evaluation reads are used.
        overwrite: replace any file in the place of the results, not only those of an earlier evaluation.

    Returns:
        mAP, CMC and the rest of the protocol's numbers, before re-ranking. They are also in output_dir, with those
        after re-ranking: in results.json, and in a file of their own for the data set and the weights. None in
        processes of paddle's launcher other than the first.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.processes.device import use_device
    from ppreid.processes.ranks import joined_ranks

    device = use_device(cfg.device)
    with joined_ranks() as ranks:
        logger.info("device: %s", device)
        return _evaluate(cfg, ranks, overwrite=overwrite)


def _evaluate(cfg: Config, ranks: Ranks, *, overwrite: bool) -> RankingResult | None:
    from ppreid import wiring
    from ppreid.evaluation.results import format_results, result_to_dict, results_file
    from ppreid.run.folder import BAD_IMAGES, CAMERAS, RESULTS
    from ppreid.training.extract import evaluate_model
    from ppreid.verbs.inputs import read_split
    from ppreid.verbs.network import trained_network

    folder = Path(cfg.output_dir)
    make_folder(folder)
    split = read_split(cfg.data, skipped_list=folder / BAD_IMAGES, camera_list=folder / CAMERAS, overwrite=overwrite)
    if not (split.query and split.gallery):
        raise EvaluationError(
            f"data set {cfg.data.name} has no labelled query and gallery images, so that nothing can be measured; set "
            "data.camera_folder.query and .gallery (docs/own-cameras.md), or, where tracks are known, pass "
            "--without-labels; or look at the label-free health in the metrics.jsonl of the training run"
        )
    model, weights = trained_network(cfg.model, cfg.data)
    data_set = f"{cfg.data.name}_{Path(cfg.data.root).resolve().name}"  # as that name stands for many folders
    name = data_set if DATASETS[cfg.data.name].any_folder else cfg.data.name
    files = [folder / RESULTS, folder / results_file(name, weights.path, weights.sha256)]
    check_outputs([Output("", file, RESULTS_JSON) for file in files], overwrite=overwrite)
    loader = wiring.feature_loader(split.query + split.gallery, cfg.data, cfg.eval, ranks=ranks)
    extract = wiring.extractor(cfg.eval, finished=True, flip=cfg.eval.flip)
    colours = wiring.colours(cfg, split)
    mapped = wiring.track_map(cfg, split, extract, ranks)(model)
    results = evaluate_model(
        model,
        loader,
        split,
        rank=_rankings(cfg.eval),
        extract=extract,
        prepare=wiring.prepared(cfg.eval, split, colours, mapped),
        ranks=ranks,
    )
    if results is None:
        return None
    results |= (beside := {**results[PLAIN].beside, **wiring.colour_alone(cfg.eval, split, colours)()})
    facts = {"config": cfg.model_dump(), "weights": weights._asdict(), "results": result_to_dict(results[PLAIN])}
    if cfg.eval.rerank:
        facts["reranked"] = result_to_dict(results[RERANKED])
    facts |= {name: result_to_dict(result) for name, result in beside.items()}
    for file in files:
        write_text(file, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        logger.info("written: %s", file)
    log_result(format_results(results))  # last, as standard output may be full
    return results[PLAIN]


def _rankings(cfg: EvaluationSettings) -> Ranker[dict[str, RankingResult]]:
    """Features, identities and cameras of query and gallery to metrics, one row for each way to rank."""
    import numpy as np

    from ppreid import wiring
    from ppreid.evaluation.rerank import evaluate_reranked
    from ppreid.neighbours.checks import check_not_collapsed

    methods: dict[str, Ranker[RankingResult]] = {PLAIN: wiring.ranking(cfg, of_prepared=True)}
    if cfg.rerank:
        methods[RERANKED] = partial(
            evaluate_reranked,
            k1=cfg.rerank_k1,
            k2=cfg.rerank_k2,
            lambda_value=cfg.rerank_lambda,
            protocol=cfg.protocol,
            ignore_camera=cfg.ignore_camera,
        )

    def rank(query: np.ndarray, gallery: np.ndarray, *identities: np.ndarray) -> dict[str, RankingResult]:
        check_not_collapsed(np.concatenate([query, gallery]))
        return {name: method(query, gallery, *identities) for name, method in methods.items()}

    return rank
