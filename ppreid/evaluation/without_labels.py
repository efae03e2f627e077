"""How good a network is and where its threshold lies, measured without any label, on what tracks tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppreid.base.errors import EvaluationError, printable
from ppreid.base.numbers import fixed
from ppreid.evaluation.track_pairs import Reassociation, TrackPairs

if TYPE_CHECKING:
    from ppreid.evaluation.between_cameras import CameraPair, CamerasAtOnce

TARGETS = (0.1, 0.01, 0.001)  # rates of false matches in the table
RECOMMENDED = 0.01
DRAWS = 200  # of the bootstrap


class Errors(NamedTuple):
    """What a threshold does; a pair matches where its similarity is at least the threshold.

    Attributes:
        target: largest rate of false matches that was asked for.
        threshold: the smallest that keeps it, a cosine.
        false_matches: share of the pairs of two people that match.
        missed: share of the pairs of one person that do not.
    """

    target: float
    threshold: float
    false_matches: float
    missed: float


class LabelFreeResult(NamedTuple):
    """What was measured.

    Attributes:
        num_same: pairs of one person, from far apart in a track.
        num_other: pairs of two people, from tracks that were seen at once.
        num_tracks: that either came from.
        auc: probability that a pair of one person is more similar than one of two people; 0.5 is chance.
        errors: at a few rates of false matches.
        same: threshold for 1 % false matches: pairs at least so similar are the same person.
        interval: of that threshold, 95 % by bootstrap over tracks.
        other: pairs less similar are other people: of one person, 1 % are. It is `same` where that is lower.
        cameras: (camera, pairs of two people, area) of every camera that has both kinds.
        again: how often a track is found again after it was lost.
        num_cameras: that took the images.
        between: what the threshold does between cameras, for pairs of cameras where labels say it.
        at_once: its false matches between cameras of one clock, which saw two people at the same time.
    """

    num_same: int
    num_other: int
    num_tracks: int
    auc: float
    errors: tuple[Errors, ...]
    same: float
    interval: tuple[float, float]
    other: float
    cameras: tuple[tuple[int, int, float], ...]
    again: Reassociation
    num_cameras: int = 1
    between: tuple[CameraPair, ...] = ()
    at_once: tuple[CamerasAtOnce, ...] = ()


def evaluate_pairs(pairs: TrackPairs, again: Reassociation, *, draws: int = DRAWS, seed: int = 0) -> LabelFreeResult:
    """Error rates and thresholds of pairs whose truth is known.

    Args:
        pairs: see `track_pairs`.
        again: see `reassociation`.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        EvaluationError: there is no pair of one person, or none of two people.
    """
    same, other = pairs.similarity[pairs.same], pairs.similarity[~pairs.same]
    if not len(same) or not len(other):
        lacking = "no track has images at two times" if not len(same) else "no two tracks were seen at once by a camera"
        raise EvaluationError(
            f"nothing can be measured without labels: {lacking}; it takes tracks with times (docs/own-cameras.md)"
        )
    errors = tuple(errors_at(same, other, target=target) for target in TARGETS)
    threshold = threshold_at(other, RECOMMENDED)
    cameras = []
    for camid in np.unique(pairs.camids[~pairs.same]).tolist():
        here = pairs.camids == camid
        if (pairs.same & here).any():
            own, others = pairs.similarity[pairs.same & here], pairs.similarity[~pairs.same & here]
            cameras.append((camid, len(others), area(own, others)))
    return LabelFreeResult(
        num_same=len(same),
        num_other=len(other),
        num_tracks=len(np.unique(pairs.tracks)),
        auc=area(same, other),
        errors=errors,
        same=threshold,
        interval=_interval(pairs, draws=draws, rng=np.random.default_rng(seed)),
        other=min(threshold, float(np.quantile(same, RECOMMENDED, method="lower"))),
        cameras=tuple(cameras),
        again=again,
    )


def threshold_at(other: np.ndarray, target: float, weights: np.ndarray | None = None) -> float:
    """Smallest threshold that lets at most a share of the pairs of two people match.

    Args:
        other: (M,) their similarities, at least one.
        target: the share, at least 0 and below 1.
        weights: (M,) how often each pair counts, at least 0, not all 0; None: once.
    """
    order = np.argsort(-other, kind="stable")
    values = other[order]
    matched = np.cumsum(np.ones(len(other)) if weights is None else weights[order])
    # from the most similar on, the first pair that would be one too many, with all that are as similar as it is
    too_many = values[np.searchsorted(matched, target * matched[-1], side="right")]
    return float(np.nextafter(too_many, np.inf))


def errors_at(same: np.ndarray, other: np.ndarray, *, target: float) -> Errors:
    """Threshold (see `threshold_at`) and both error rates on similarities of pairs of one person and of two people."""
    threshold = threshold_at(other, target)
    return Errors(target, threshold, float(np.mean(other >= threshold)), float(np.mean(same < threshold)))


def area(same: np.ndarray, other: np.ndarray) -> float:
    """Area under the ROC: share of the pairs of pairs that are in the right order; equal ones count half."""
    ordered = np.sort(other)
    below, up_to = (np.searchsorted(ordered, same, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(other))


def _interval(pairs: TrackPairs, *, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """Of the threshold: tracks are drawn with replacement; a pair counts as often as its two tracks do, multiplied."""
    names, index = np.unique(pairs.tracks[~pairs.same], return_inverse=True)
    ends, similarity = index.reshape(-1, 2), pairs.similarity[~pairs.same]
    found = []
    for _ in range(draws):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        weights = times[ends[:, 0]] * times[ends[:, 1]]
        if weights.any():
            found.append(threshold_at(similarity[weights > 0], RECOMMENDED, weights[weights > 0]))
    if not found:
        return math.nan, math.nan
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def format_without_labels(result: LabelFreeResult, camera_names: Mapping[int, str] | None = None) -> str:
    """The result as a table for people; cameras without a name are counted from 1."""
    lines = [
        f"without labels: {result.num_tracks:,} tracks, {result.num_same:,} pairs of one person, "
        f"{result.num_other:,} of two people seen at once",
        f"area under the ROC {fixed(result.auc, 4)}",
        f"{'false matches':>14}{'threshold':>12}{'missed':>10}",
    ]
    lines += [
        f"{100 * row.target:>12g} %{fixed(row.threshold, 3):>12}{fixed(100 * row.missed, 1):>8} %"
        for row in result.errors
    ]
    low, high = (fixed(value, 3) for value in result.interval)
    lines.append(f"same person from {fixed(result.same, 3)} on [{low}, {high}], other below {fixed(result.other, 3)}")
    if result.again.tracks:
        count, found, gap = result.again
        lines.append(f"found again after {gap:.1f} s: {100 * found:.1f} % of {count:,} tracks")
    return "\n".join([*lines, *_lines_of_cameras(result, camera_names or {})])


def _lines_of_cameras(result: LabelFreeResult, names: Mapping[int, str]) -> Iterator[str]:
    def name(camid: int) -> str:
        return printable(names.get(camid, str(camid + 1)))

    for camid, count, value in result.cameras if len(result.cameras) > 1 else ():
        yield f"camera {name(camid)}: area {fixed(value, 4)}, {count:,} pairs of two people"
    for row in result.between:
        rates = [fixed(100 * rate, 1) for rate in (row.false_matches, row.missed, row.found)]
        again = f", {rates[2]} % of {row.tracks:,} tracks found in the other" if row.tracks else ""
        yield (
            f"cameras {' and '.join(map(name, row.cameras))}, by labels: area {fixed(row.auc, 4)}, from "
            f"{fixed(result.same, 3)} on {rates[0]} % false matches and {rates[1]} % missed{again}"
        )
    for seen in result.at_once:
        yield (
            f"cameras {' and '.join(map(name, seen.cameras))}, seen at once: from {fixed(result.same, 3)} on "
            f"{fixed(100 * seen.false_matches, 1)} % false matches of {seen.pairs:,} pairs of two people"
        )
    if result.num_cameras > 1 and not result.between:
        unknown = "it is not known what is missed" if result.at_once else "nothing is known"
        yield (
            f"between the {result.num_cameras:,} cameras {unknown}: all pairs of one person are of one camera, and so "
            "are the thresholds; the same person looks less similar to another camera, so that more is missed there "
            "than the table says (docs/tracks.md)"
        )


def without_labels_to_dict(result: LabelFreeResult) -> dict[str, Any]:
    """The result as plain numbers for JSON; what is not known is None."""
    plain = result._asdict() | {
        "errors": [row._asdict() for row in result.errors],
        "again": {name: _or_none(value) for name, value in result.again._asdict().items()},
        "interval": [_or_none(value) for value in result.interval],
        "cameras": [dict(zip(("camera", "pairs", "auc"), row, strict=True)) for row in result.cameras],
        "between": [row._asdict() | {"found": _or_none(row.found)} for row in result.between],
        "at_once": [row._asdict() for row in result.at_once],
    }
    return plain


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number
