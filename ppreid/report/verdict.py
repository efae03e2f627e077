"""What can be said of a run without labels: good, doubtful or bad, why, and what to do next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from ppreid.base.numbers import fixed
from ppreid.report.headline import LOW_MIXING, MANY_MISSED, is_giant, missed_of
from ppreid.report.run_files import RUNNING, STOPPED, RunFiles, flat, number

if TYPE_CHECKING:
    from ppreid.clustering.sweep import EpsAdvice
    from ppreid.evaluation.without_labels import LabelFreeResult

GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"
_ORDER = ("", GOOD, DOUBTFUL, BAD)
# Where runs with known identities parted (six to fourteen epochs on drawn people, six on real ones): labels that agreed
# with the people (ARI 0.6) left 17 % outliers, those that hardly did (0.1) left 60 to 80 %; clusters of single cameras
# had a mixing of 0.04 to 0.26, clusters over cameras 0.7 and more.
_SOME_OUTLIERS, _MANY_OUTLIERS = 0.3, 0.5
_SOME_MIXING = 0.5
_SOME_MISSED = 0.2
_STABLE = 0.5
_SWEEP = "eps=0.2:0.8:0.05"


class Reason(NamedTuple):
    """What a fact speaks for, "" where it only says what is not known, and the fact."""

    speaks_for: str
    text: str


class Verdict(NamedTuple):
    """The end of a report.

    Attributes:
        word: "good", "doubtful" or "bad": the worst that a reason speaks for.
        reasons: the worst first.
        advice: what to do next.
        command: that does it.
    """

    word: str
    reasons: list[Reason]
    advice: str
    command: str


def verdict(run: RunFiles, *, tracks: LabelFreeResult | None = None, eps: EpsAdvice | None = None) -> Verdict | None:
    """Judge a run by its last epoch, read together with what its tracks tell.

    Args:
        run: what its folder says.
        tracks: what the tracks of its images tell of its network; None where they tell nothing.
        eps: what a sweep over the training images recommends; None where there was none.

    Returns:
        None before the first epoch.

    Note:
        Nothing here measures how good the network is; good means that nothing speaks against the run.
    """
    if not run.epochs:
        return None
    last = run.epochs[-1]
    found = [*_of_sizes(last), *_of_time(run), *_of_cameras(last), _of_tracks(tracks)]
    found.sort(key=lambda reason: _ORDER.index(reason.speaks_for), reverse=True)
    return Verdict(found[0].speaks_for, found, *_next_step(run, found[0].speaks_for, tracks, eps))


def _of_sizes(last: dict[str, Any]) -> list[Reason]:
    images, outliers, largest = (number(last.get(key)) for key in ("images", "outliers", "largest"))
    if not images or outliers is None or largest is None:
        return []
    if is_giant(last):
        text = f"One cluster holds {largest / images:.0%} of the images."
        return [Reason(BAD, f"{text} It has every camera, stays the same and leaves few outliers, whatever it mixes.")]
    left = outliers / images
    level = BAD if left > _MANY_OUTLIERS else DOUBTFUL if left > _SOME_OUTLIERS else GOOD
    return [
        Reason(level, f"{left:.0%} of the images are outliers, from which nothing is learnt."),
        Reason(GOOD, f"No cluster swallows the others: the largest holds {largest / images:.0%} of the images."),
    ]


def _of_time(run: RunFiles) -> list[Reason]:
    stability, found = number(run.epochs[-1].get("label_stability")), []
    if run.state in (RUNNING, STOPPED):
        planned = flat(run.config).get("solver.epochs", "?")
        found.append(Reason(DOUBTFUL, f"Training is not done: {len(run.epochs)} of {planned} epochs."))
    if stability is None:
        found.append(Reason(DOUBTFUL, "It is not known yet whether labels stay from epoch to epoch."))
    elif is_giant(run.epochs[-1]):
        return found  # it stays whatever it holds
    elif stability < _STABLE:
        found.append(Reason(DOUBTFUL, f"Every epoch shuffles the labels (stability {fixed(stability, 2)})."))
    else:
        found.append(Reason(GOOD, f"The labels stay from epoch to epoch (stability {fixed(stability, 2)})."))
    return found


def _of_cameras(last: dict[str, Any]) -> list[Reason]:
    """How far clusters join cameras; a giant one joins them all, which says nothing."""
    mixing = number(last.get("camera_mixing"))
    if is_giant(last):
        return []
    if mixing is None:
        return [Reason("", "No two cameras are known, so that nothing says whether people are found across cameras.")]
    if mixing < LOW_MIXING:
        text = f"Clusters hold one camera each (camera mixing {fixed(mixing, 2)}): people within one camera at best."
        return [Reason(BAD, text)]
    if mixing < _SOME_MIXING:
        return [Reason(DOUBTFUL, f"Few clusters join cameras (camera mixing {fixed(mixing, 2)}).")]
    return [Reason(GOOD, f"Clusters join cameras (camera mixing {fixed(mixing, 2)}).")]


def _of_tracks(tracks: LabelFreeResult | None) -> Reason:
    missed = missed_of(tracks)
    if missed is None:
        return Reason("", "No tracks tell error rates: a run that mixes up people who look alike can look the same.")
    level = BAD if missed > MANY_MISSED else DOUBTFUL if missed > _SOME_MISSED else GOOD
    text = f"Tracks miss {missed:.0%} of the pairs of one person at 1 % false matches, within one camera."
    return Reason(level, text)


def _next_step(run: RunFiles, word: str, tracks: LabelFreeResult | None, eps: EpsAdvice | None) -> tuple[str, str]:
    """What to do, and the command: the first remedy that suits what is worst."""
    folder, config, last = run.folder or run.name, flat(run.config), run.epochs[-1]
    quoted = shlex.quote(folder)
    if run.state == RUNNING:
        return "Wait, and make this page again:", f"python tools/report.py {quoted}"
    if run.state == STOPPED:
        return "Go on with the training:", f"python tools/train.py --resume {quoted}"
    if word == GOOD:
        return "Make an index, and look at what it finds:", _command("search.py index", quoted, out=f"{folder}_index")
    images, outliers, mixing = (number(last.get(key)) for key in ("images", "outliers", "camera_mixing"))
    if is_giant(last) or (images and (outliers or 0) > _SOME_OUTLIERS * images):
        if eps is None or eps.eps is None or eps.eps == float(config.get("labels.eps", "nan")):
            return "Look at what other values of labels.eps do:", f"python tools/cluster.py {quoted} --sweep {_SWEEP}"
        changed = f"labels.eps={eps.eps:g}"
        return "Train again with the recommended labels.eps:", _again(folder, f"eps{eps.eps:g}", changed)
    if mixing is not None and mixing < _SOME_MIXING and float(config.get("labels.camera_centre", "1")) == 0:
        command = _again(folder, "centred", "labels.camera_centre=on", "eval.camera_centre=on")
        return "Train again without what all images of a camera have in common:", command
    if config.get("model.weights") == "none":
        return "Begin with weights that know people; these are published:", "python tools/weights.py list"
    if tracks is not None:
        return "Measure on recordings that it was not trained on:", f"python tools/eval.py {quoted} --without-labels"
    return "Make an index, and look at what it finds:", _command("search.py index", quoted, out=f"{folder}_index")


def _command(tool: str, folder: str, *, out: str) -> str:
    return f"python tools/{tool} {folder} --out {shlex.quote(out)}"


def _again(folder: str, name: str, *keys: str) -> str:
    """The command for the same training with other keys, in a folder beside the old one."""
    options = " ".join(f"-o {key}" for key in keys)
    config, out = shlex.quote(f"{folder}/config.yaml"), shlex.quote(f"output_dir={folder}_{name}")
    return f"python tools/train.py -c {config} {options} -o {out}"
