"""The top of a report: what happened, in one sentence and a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ppreid.base.numbers import compact, fixed
from ppreid.clustering.labels import GIANT
from ppreid.report.run_files import FINISHED, RUNNING, RunFiles, flat, number

if TYPE_CHECKING:
    from ppreid.evaluation.without_labels import LabelFreeResult

LOW_MIXING = 0.2  # of 1: every cluster mixes the cameras as the data do
MANY_MISSED = 0.5  # of the pairs of one person; with more the network does not know people within a camera either
_STABLE = 0.9  # clusters that change so little from epoch to epoch are not going to join others
_FEW_MIXED = 0.5  # of all clusters; with more of them the labels are not those of people in one camera either
_GAP = 2.0  # percent mAP; another seed alone changes about as much


class Tile(NamedTuple):
    """A number to read at a glance: its name, the number, its unit, and what it compares with."""

    name: str
    value: str
    unit: str
    detail: str


def total_seconds(run: RunFiles) -> float:
    """Time of all stages of all finished epochs."""
    return sum(number(value) or 0.0 for row in run.epochs for value in _stages(row).values())


def duration(seconds: float) -> str:
    """A time in a unit that suits it, e.g. "4.8 min"."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= length):
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def subject(run: RunFiles) -> str:
    """What was trained on what, and when, in one line."""
    keys = flat(run.config)
    parts = [keys.get(key, "") for key in ("data.name", "model.backbone", "ise.objective")]
    parts.append(f"seed {keys['seed']}" if "seed" in keys else "")
    started = str(run.environment.get("started", ""))[:16].replace("T", " ")
    return " · ".join(filter(None, [*parts, started and f"started {started} UTC"]))


def best_evaluation(run: RunFiles) -> dict[str, Any] | None:
    """The evaluation after training with the highest mAP; None if there is none."""
    rows = [row for row in run.evaluations if row["epoch"] > 0 and number(row.get("mAP")) is not None]
    return max(rows, key=lambda row: row["mAP"], default=None)


def tiles(run: RunFiles, *, num_identities: int | None) -> list[Tile]:
    """The numbers at the top.

    Args:
        run: what was read.
        num_identities: people in the training images, where that is known.
    """
    planned = flat(run.config).get("solver.epochs", "?")
    shown = _metric_tiles(run)
    last = run.epochs[-1] if run.epochs else {}
    images, outliers = number(last.get("images")), number(last.get("outliers"))
    if last:
        truth = f"{num_identities:,} people in truth" if num_identities else ""
        detail = truth or f"the largest has {compact(number(last.get('largest')))} images"
        shown.append(Tile("Clusters", compact(number(last.get("clusters"))), "", detail))
        if images and outliers is not None:
            detail = f"{compact(outliers)} of {compact(images)} images"
            shown.append(Tile("Outliers", f"{100 * outliers / images:.1f}", "%", detail))
    if not run.evaluations and number(last.get("label_stability")) is not None:
        value = fixed(last["label_stability"], 2)
        shown.append(Tile("Stability of labels", value, "", "ARI with the epoch before; 1 is no change"))
    steps = flat(run.config).get("solver.iters")
    shown.append(Tile("Epochs", str(len(run.epochs)), f"of {planned}", f"{steps} steps each" if steps else ""))
    seconds = total_seconds(run)
    if run.epochs:
        value, unit = duration(seconds).split()
        shown.append(Tile("Time", value, unit, f"{duration(seconds / len(run.epochs))} per epoch"))
    return shown


def sentence(run: RunFiles, tracks: LabelFreeResult | None = None) -> str:
    """What happened, for someone who reads nothing else.

    Args:
        run: what was read.
        tracks: what the tracks of its images tell of its network, where they tell something.
    """
    planned = flat(run.config).get("solver.epochs", "?")
    done = len(run.epochs)
    text = {
        FINISHED: f"Training finished all {done} epochs in {duration(total_seconds(run))}.",
        RUNNING: f"Training is running: {done} of {planned} epochs are done.",
    }.get(run.state, f"Training stopped after {done} of {planned} epochs; --resume goes on.")
    rows = [row for row in run.evaluations if row["epoch"] > 0]
    if rows:
        text += f" After epoch {rows[-1]['epoch']} the network finds the right person first for {_percent(rows[-1])}"
        text += f" of {compact(number(rows[-1].get('valid_queries')))} queries."
        if run.evaluations[0]["epoch"] == 0:
            text += f" Before training it was {_percent(run.evaluations[0])}."
    elif run.evaluations:
        text += f" No evaluation was due yet; before training Rank-1 was {_percent(run.evaluations[0])}."
    else:
        text += " Nothing was evaluated."
    return text + _reading_of_mixing(run.epochs[-1] if run.epochs else {}, tracks)[0]


def is_giant(last: dict[str, Any]) -> bool:
    """Whether one cluster of an epoch swallows the others."""
    images, largest = number(last.get("images")), number(last.get("largest"))
    return bool(images and largest is not None and largest > GIANT * images)


def missed_of(tracks: LabelFreeResult | None) -> float | None:
    """Share of the pairs of one person that are missed at the recommended rate of false matches; None: not known."""
    if tracks is None:
        return None
    from ppreid.evaluation.without_labels import RECOMMENDED

    return next(row.missed for row in tracks.errors if row.target == RECOMMENDED)


def remarks(run: RunFiles, tracks: LabelFreeResult | None = None) -> list[str]:
    """What somebody who knows the method would point at in the last epoch; nothing is the normal case.

    Args:
        run: what was read.
        tracks: see `sentence`.
    """
    last = run.epochs[-1] if run.epochs else {}
    images, outliers, largest = (number(last.get(key)) for key in ("images", "outliers", "largest"))
    found = []
    if images and outliers is not None and outliers > images / 2:
        found.append(
            f"{outliers / images:.0%} of the images are outliers, on which an epoch does not train. If it stays like "
            "this, labels.eps is too low; tools/cluster.py --sweep shows what another one would do."
        )
    if images and largest is not None and is_giant(last):
        found.append(
            f"One cluster holds {largest / images:.0%} of the images; labels.eps is probably too high, and mixing and "
            "outliers look better than they are. tools/cluster.py --sweep shows what another one would do."
        )
    found += filter(None, [_reading_of_mixing(last, tracks)[1]])
    best = best_evaluation(run)
    gap = (best["mAP"] - (number(run.evaluations[-1].get("mAP")) or 0.0)) if best else 0.0
    if best and gap > _GAP:
        found.append(f"The last evaluation is {gap:.1f} mAP below the best one, after epoch {best['epoch']}.")
    return found


def _reading_of_mixing(last: dict[str, Any], tracks: LabelFreeResult | None) -> tuple[str, str]:
    """What few cameras in a cluster mean, in short and at length; empty where clusters join cameras.

    It depends on whether the clusters hold one person each, which labels say or else tracks, and on what will come. A
    giant cluster has every camera, whatever the others hold.
    """
    if is_giant(last):
        return " One cluster swallows the others.", ""
    mixing, stability = number(last.get("camera_mixing")), number(last.get("label_stability"))
    if mixing is None or mixing >= LOW_MIXING:
        return "", ""
    quality, missed = last.get("label_quality"), missed_of(tracks)
    mixed = number(quality.get("mixed_clusters")) if isinstance(quality, dict) else None
    short, text = " Its clusters are people within one camera.", f"(camera mixing {mixing:.2f})"
    if mixed is not None and mixed <= _FEW_MIXED:
        text += f", and {1 - mixed:.0%} of them one person: people are found, but within one camera."
    elif mixed is not None:
        short = " Its clusters are cameras rather than people."
        text += f", and {mixed:.0%} of them mix people: the features tell cameras apart rather than people."
    elif missed is not None and missed <= MANY_MISSED:
        text += f", and tracks miss {missed:.0%} of the pairs of one person: people are found, but within one camera."
    elif missed is not None:
        short = " Its clusters are cameras rather than people."
        text += f", and tracks miss {missed:.0%} of the pairs of one person: people are not found there either."
    else:
        short = " Its clusters are people within one camera, if they are people."
        text += ": people are found within one camera, if at all, and not across cameras."
    if stability is not None and stability >= _STABLE:
        text += f" They stay as they are (stability {stability:.2f}), so that more epochs will not join cameras."
    return short, f"Clusters hold one camera each, nearly all of them {text}"


def _percent(row: dict[str, Any]) -> str:
    value = number(row.get("Rank-1"))
    return "an unknown share" if value is None else f"{value:.1f} %"


def _metric_tiles(run: RunFiles) -> list[Tile]:
    """The last mAP and Rank-1, beside the first and the best."""
    best = best_evaluation(run)
    if not run.evaluations:
        return []
    first, last = run.evaluations[0], run.evaluations[-1]
    shown = []
    for name in ("mAP", "Rank-1"):
        value = number(last.get(name))
        parts = []
        if first["epoch"] == 0 and last is not first and number(first.get(name)) is not None:
            parts.append(f"before {first[name]:.1f}")
        if last["epoch"] == 0:
            parts.append("before training")
        elif best and best is not last and number(best.get(name)) is not None:
            parts.append(f"best epoch ({best['epoch']}) {best[name]:.1f}")
        elif best and best is last and len(run.evaluations) > 2:
            parts.append("best epoch")
        shown.append(Tile(name, compact(None) if value is None else f"{value:.1f}", "%", " · ".join(parts)))
    return shown


def _stages(row: dict[str, Any]) -> dict[str, Any]:
    stages = row.get("stage_seconds")
    return stages if isinstance(stages, dict) else {}
