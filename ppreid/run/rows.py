"""Rows of metrics.jsonl and the text that people read of them."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ppreid.base.numbers import fixed, in_words
from ppreid.base.progress import peak_memory
from ppreid.base.records import ImageRecord, ids
from ppreid.clustering.quality import clustering_statistics, label_health, pseudo_label_quality
from ppreid.evaluation.ranking import RankingResult
from ppreid.run.progress import Progress, Schedule

RANKS = (1, 5, 10, 20)
_COLUMNS = ("mAP", "Rank-1", "Rank-5", "Rank-10")
TWIN_MAP = "twin: mAP"  # of the network that follows the one that is trained


def evaluation_row(
    result: RankingResult,
    *,
    epoch: int,
    labels: np.ndarray | None = None,
    beside: Mapping[str, RankingResult] = MappingProxyType({}),
) -> dict[str, Any]:
    """One evaluation as a row of metrics.jsonl.

    Args:
        result: of the evaluation.
        epoch: finished epochs; 0 is before training.
        labels: (N,) pseudo labels that the epoch trained on; None before training.
        beside: results of something else on the same queries, by name.

    Returns:
        mAP, Rank-k and mINP in percent, counts of queries, clusters and outliers; mAP and Rank-k of what is beside it,
        e.g. as "colour: mAP".
    """
    row: dict[str, Any] = {"event": "evaluation", "epoch": epoch, **_percent(result)}
    beside = {**result.beside, **beside}
    row |= {f"{name}: {key}": value for name, other in beside.items() for key, value in _percent(other).items()}
    row |= {"mINP": 100 * result.mean_inp, "valid_queries": result.num_valid_queries}
    if labels is not None:
        statistics = clustering_statistics(labels)
        row |= {"clusters": statistics.clusters, "outliers": statistics.outliers}
    return row


def _percent(result: RankingResult) -> dict[str, float]:
    """Shares that a table shows: mAP and Rank-k."""
    ranks = {f"Rank-{rank}": 100 * float(result.cmc[rank - 1]) for rank in RANKS if rank <= len(result.cmc)}
    return {"mAP": 100 * result.mean_ap, **ranks}


def epoch_row(progress: Progress, schedule: Schedule, records: Sequence[ImageRecord]) -> dict[str, Any]:
    """One epoch as a row of metrics.jsonl.

    Args:
        progress: with the epoch under way, all of whose steps are done.
        schedule: of the run; the learning rate and PLI degree of the last step are shown.
        records: (N,) training images; where all identities are known, the quality of the labels is reported.

    Returns:
        The row; for "label_quality" see `pseudo_label_quality`.
    """
    labels, epoch = progress.labels, progress.epoch + 1
    row: dict[str, Any] = {"event": "epoch", "epoch": epoch, **clustering_statistics(labels)._asdict()}
    pids, camids = ids(records)
    row |= {"images": len(labels), **label_health(labels, progress.previous, camids)._asdict(), **progress.means()}
    last_step = epoch * schedule.iters - 1
    row |= {"skipped_steps": progress.skipped, "lr": schedule.learning_rate(last_step)}
    row["pli_degree"] = schedule.pli_degree(last_step)
    if len(pids) and (pids >= 0).all():
        row["label_quality"] = pseudo_label_quality(labels, pids)._asdict()
    return row | {"peak_memory_gb": peak_memory() / 1e9, "stage_seconds": dict(progress.seconds)}


def epoch_line(row: Mapping[str, Any], schedule: Schedule, evaluation: Mapping[str, Any] | None) -> str:
    """The log line of one epoch, at its end what the rest of the run takes if all epochs are like this one."""
    health = [
        f"{name} {fixed(row[name], 2)}" for name in ("label_stability", "camera_mixing") if not math.isnan(row[name])
    ]
    losses = " ".join(f"{name} {fixed(row[name], 3)}" for name in ("loss", "loss_contrast", "loss_lp") if name in row)
    parts = [
        f"epoch {row['epoch']}/{schedule.epochs}",
        f"{row['clusters']} clusters, {row['outliers']} outliers of {row['images']}, largest {row['largest']}",
        *([" ".join(health).replace("_", " ")] if health else []),
        losses,
        f"degree {row['pli_degree']:.3f} lr {row['lr']:.2e}",
    ]
    if quality := row.get("label_quality"):
        parts.append(f"ARI {fixed(quality['ari'], 2)}")
    if evaluation:
        parts.append(f"mAP {evaluation['mAP']:.1f} Rank-1 {evaluation['Rank-1']:.1f}")
        if TWIN_MAP in evaluation:
            parts.append(f"twin mAP {evaluation[TWIN_MAP]:.1f} Rank-1 {evaluation['twin: Rank-1']:.1f}")
    if skipped := row.get("skipped_steps"):
        parts.append(f"steps left out: {skipped}")
    parts.append(" ".join(f"{name} {seconds:.1f}s" for name, seconds in row["stage_seconds"].items()))
    parts.append(f"{row['peak_memory_gb']:.1f} GB")
    return " | ".join([*parts, *time_left(row, schedule)])


def time_left(row: Mapping[str, Any], schedule: Schedule) -> list[str]:
    """What the rest of a run takes, by the seconds of an epoch; nothing after the last one."""
    seconds, left = dict(row["stage_seconds"]), range(row["epoch"], schedule.epochs)
    evaluation, evaluations = seconds.pop("evaluate", None), sum(map(schedule.evaluates, left))
    if not left:
        return []
    words = in_words(sum(seconds.values()) * len(left) + (evaluation or 0) * evaluations)
    return [f"{words} left" + ", evaluations apart" * (evaluations > 0 and evaluation is None)]


def history_table(history: Sequence[Mapping[str, Any]]) -> str:
    """Text table of the evaluations of a run: a line each, the last, the best, and what is beside them."""
    # the network before training has no twin yet
    columns = (*_COLUMNS, *([TWIN_MAP] if TWIN_MAP in history[-1] else []))
    header = (
        f"{'epoch':>16}"
        + "".join(f"{name.replace(':', ''):>9}" for name in columns)
        + f"{'clusters':>10}{'outliers':>10}"
    )
    best, last = best_row(history), history[-1]
    named = [(str(row["epoch"] or "before"), row) for row in history]
    named += [(f"last ({last['epoch']})", last), (f"best ({best['epoch']})", best)]
    lines = [header, "-" * len(header)]
    for name, row in named:
        counts = "".join(f"{row.get(key, '-'):>10}" for key in ("clusters", "outliers"))
        values = "".join(f"{row[column]:>9.1f}" if column in row else f"{'-':>9}" for column in columns)
        lines.append(f"{name:>16}{values}{counts}")
    for name in [key.removesuffix(": mAP") for key in history[0] if key.endswith(": mAP")]:
        # what needs no training is in the first row only
        row = last if f"{name}: mAP" in last else history[0]
        lines.append(f"{name:>16}" + "".join(f"{row.get(f'{name}: {column}', 0):>9.1f}" for column in _COLUMNS))
    return "\n".join(lines)


def best_row(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The evaluation after training with the highest mAP; the first of equals, and {} where there is none."""
    return max((row for row in history if row["epoch"] > 0), key=lambda row: row["mAP"], default={})
