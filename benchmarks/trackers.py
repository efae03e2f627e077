"""Does a tracker mix people up less with our network? With the released packages, on drawn recordings.

    make test-trackers

installs ultralytics and boxmot (both AGPL: hence an environment of their own, and no requirement of ppreid) and runs

    python benchmarks/trackers.py prepare output/demo output/trackers            # in the environment of ppreid
    python benchmarks/trackers.py track data/recordings output/trackers          # in that of the trackers

`prepare` writes the run's network, and one of random weights, for both trackers. `track` gives each tracker the true
boxes of the recordings, moved and partly left out as a detector would, and counts identities with motmetrics: IDF1, how
often a person gets another number (IDSW), and MOTA. Each tracker runs with its own settings (a lost person is waited
for 30 frames and found again nearby only), and with such that appearance alone finds people again who were away for
long. The exit code is 1 where our network does worse than none or, there, than random weights.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

TARGETS = ("ultralytics", "boxmot")
NETWORKS = ("none", "random", "ours")
MOVED, DROPPED, HIDDEN = 0.04, 0.05, 0.4  # share of a box's size; of boxes; visibility below which nobody is detected
LONG = 200  # frames for which a lost person is waited for where appearance alone may find somebody again
COSINE = 0.6  # that the features of a track and a detection must have then


class Frame(NamedTuple):
    """A picture and who is in it."""

    picture: np.ndarray  # (H, W, 3) uint8, blue, green, red
    boxes: np.ndarray  # (n, 4) left, top, right, bottom
    people: np.ndarray  # (n,)
    visible: np.ndarray  # (n,) 0 to 1


def prepare(run: Path, output: Path) -> None:
    """Write NETWORKS but "none" for TARGETS."""
    import paddle

    from ppreid import wiring
    from ppreid.verbs.command import run_config
    from ppreid.verbs.tracker_export import export_for
    from ppreid.weights.files import save_weights

    output.mkdir(parents=True, exist_ok=True)
    cfg = run_config(run)
    paddle.seed(0)
    save_weights(output / "random.safetensors", wiring.reid_net(cfg.model))
    random = cfg.model.model_copy(update={"weights": str(output / "random.safetensors"), "weights_sha256": ""})
    for target in TARGETS:
        for name, model in (("ours", cfg.model), ("random", random)):
            export_for(cfg.model_copy(update={"model": model}), output / f"{name}_{target}.onnx", target=target)


def track(recordings: Path, output: Path) -> int:
    """Print a table; returns 1 where our network does worse than without."""
    print(f"{'tracker':<13}{'settings':<12}{'network':<9}{'IDF1':>7}{'IDSW':>6}{'MOTA':>7}")
    is_worse = False
    for target, make in (("ultralytics", ultralytics_tracker), ("boxmot", boxmot_tracker)):
        for settings in ("its own", "long waits"):
            found = {}
            for network in NETWORKS:
                file = None if network == "none" else output / f"{network}_{target}.onnx"
                found[network] = evaluated(recordings, partial(make, file, is_long=settings != "its own"))
                idf1, switches, mota = found[network]
                row = f"{target:<13}{settings:<12}{network:<9}{100 * idf1:>7.1f}{switches:>6.0f}{100 * mota:>7.1f}"
                print(row, flush=True)
            rivals = ("none",) if settings == "its own" else ("none", "random")
            is_worse |= found["ours"][0] < max(found[name][0] for name in rivals)
    return int(is_worse)


def evaluated(recordings: Path, tracker: Callable[[], Callable[..., np.ndarray]]) -> tuple[float, float, float]:
    """IDF1, identity switches and MOTA over all cameras; each camera gets a new tracker."""
    import motmetrics

    counted = []
    for number, video in enumerate(sorted(recordings.glob("*.mp4"))):
        rng, update = np.random.default_rng(number), tracker()
        events = motmetrics.MOTAccumulator(auto_id=True)
        for frame in frames_of(video):
            rows = update(detections(frame, rng), frame.picture)  # (m, 5+): left, top, right, bottom, number
            seen = frame.visible >= HIDDEN
            overlaps = iou(frame.boxes[seen], rows[:, :4])
            distances = np.where(overlaps >= 0.5, 1 - overlaps, np.nan)
            events.update(frame.people[seen], rows[:, 4].astype(int), distances)
        counted.append(events)
    names = ["idf1", "num_switches", "mota"]
    summary = motmetrics.metrics.create().compute_many(counted, metrics=names, generate_overall=True).loc["OVERALL"]
    return tuple(float(summary[name]) for name in names)  # type: ignore[return-value]


def detections(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """(n, 6) left, top, right, bottom, score, class, as a detector would give: moved, some of them missing."""
    there = (frame.visible >= HIDDEN) & (rng.random(len(frame.people)) >= DROPPED)
    sides = np.tile(frame.boxes[:, 2:] - frame.boxes[:, :2], 2)  # (n, 4)
    boxes = frame.boxes + rng.normal(0, MOVED, frame.boxes.shape) * sides
    height, width = frame.picture.shape[:2]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    scores = 0.7 + 0.25 * frame.visible
    rows = np.column_stack([boxes, scores, np.zeros(len(boxes))])
    return rows[there & (boxes[:, 2] - boxes[:, 0] > 4) & (boxes[:, 3] - boxes[:, 1] > 4)].astype(np.float32)


def frames_of(video: Path) -> Iterator[Frame]:
    """The pictures of a recording with the boxes of the MOTChallenge text beside it."""
    import cv2

    with open(video.with_suffix(".txt"), newline="") as file:
        rows = np.array([[float(cell) for cell in row] for row in csv.reader(file)]).reshape(-1, 9)
    source, number = cv2.VideoCapture(str(video)), 0
    while True:
        there, picture = source.read()
        if not there:
            return
        number += 1
        now = rows[rows[:, 0] == number]  # frame, person, left, top, width, height, 1, 1, visibility
        boxes = np.column_stack([now[:, 2:4], now[:, 2:4] + now[:, 4:6]])
        yield Frame(picture, boxes, now[:, 1].astype(int), now[:, 8])


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap (n, m) of boxes (n, 4) with boxes (m, 4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def ultralytics_tracker(file: Path | None, *, is_long: bool) -> Callable[..., np.ndarray]:
    """BoT-SORT of ultralytics."""
    from ultralytics.engine.results import Boxes
    from ultralytics.trackers.bot_sort import BOTSORT
    from ultralytics.utils import YAML
    from ultralytics.utils.checks import check_yaml

    settings: dict[str, Any] = {**YAML.load(check_yaml("botsort.yaml")), "gmc_method": "none", "device": "cpu"}
    if file:
        settings |= {"with_reid": True, "model": str(file)}
    if is_long:
        settings |= {"track_buffer": LONG, "proximity_thresh": 0.0, "appearance_thresh": (1 + COSINE) / 2}
    tracker = BOTSORT(SimpleNamespace(**settings))
    return lambda rows, picture: tracker.update(Boxes(rows, picture.shape[:2]), picture).reshape(-1, 8)


def boxmot_tracker(file: Path | None, *, is_long: bool) -> Callable[..., np.ndarray]:
    """BoT-SORT of boxmot."""
    import boxmot

    settings: dict[str, Any] = {"use_cmc": False, "use_embeddings": file is not None}
    if file:
        settings |= {"reid_weights": str(file), "device": "cpu"}
    if is_long:
        settings |= {"track_buffer": LONG, "proximity_thresh": 1.0, "appearance_thresh": 1 - COSINE}
    tracker = boxmot.BotSort(**settings)
    return lambda rows, picture: np.asarray(tracker.update(rows, picture)).reshape(-1, 8)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", run, output]:
            prepare(Path(run), Path(output))
        case ["track", recordings, output]:
            sys.exit(track(Path(recordings), Path(output)))
        case _:
            sys.exit(__doc__)
