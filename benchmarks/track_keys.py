"""What the keys of tracks do to the network after training, with seeds: the table of docs/tracks.md.

    python benchmarks/track_keys.py output/track_keys

draws recordings of 2 cameras and 12 people, cuts crops and tracks from them as `ppreid crops` does, and crops of 12
other people, who are known, from a second set with their true boxes. Each row is trained with three seeds on the first
and evaluated on the second: a small network, small pictures, 6 epochs, some minutes each. With options the data is
what they say:

    python benchmarks/track_keys.py output/mine -o data.root=data/mine -o data.camera_folder.query=query.csv ...

The same command goes on where it was interrupted. What is printed: mean of mAP over seeds, the lowest and the highest.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from ppreid.cli import main
from ppreid.demo.recorded import generate_recordings
from ppreid.recordings.boxes import box_iou, read_boxes
from ppreid.run.metrics import read_metrics

ROWS = {
    "image": "labels.unit=image labels.eps=0.5 labels.cannot_link=false batch.across=cameras",
    "track": "labels.cannot_link=false batch.across=cameras",
    "track, across": "labels.cannot_link=false",  # recordings.yaml
    "track, cannot_link": "labels.cannot_link=true batch.across=cameras",
    "track, shared clock": "labels.cannot_link=true batch.across=cameras data.clock=shared",
    "track, across, cannot_link": "labels.cannot_link=true",
}
SMALL = "data.height=64 data.width=32 data.num_workers=0 model.base_width=16 batch.identities=8 solver.epochs=6"
SEEDS, SIZE = (1, 2, 3), {"cameras": 2, "people": 12, "seconds": 40}


def drawn(folder: Path) -> list[str]:
    """Options for the data; drawn and cut where it is not there yet."""
    parts = [folder / "train", folder / "test"]
    for seed, part in enumerate(parts):
        videos = list(map(str, generate_recordings(folder / f"recordings_{seed}", seed=seed, **SIZE)))
        true = [word for video in videos for word in ("--boxes", video.replace(".mp4", ".txt"), "--per-second", "2")]
        if not (part / "tracks.csv").exists() and main(["crops", *videos, *(true if seed else []), "--out", str(part)]):
            sys.exit("no crops")
    with open(parts[1] / "tracks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = {row["camera"]: read_boxes(folder / "recordings_1" / f"{row['camera']}.txt").frames for row in rows}
    lines = []
    for row in rows:
        there = truth[row["camera"]][int(row["frame"])]
        box = np.array([[float(row[side]) for side in ("x", "y", "width", "height")]])
        lines.append(
            (parts[1].absolute() / row["path"], row["camera"], there.ids[box_iou(box, there.boxes)[0].argmax()])
        )
    tables = {"query": lines[::5], "gallery": lines}
    for name, chosen in tables.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("path", "camera", "pid"), *chosen])
    return [f"data.root={parts[0]}", *(f"data.camera_folder.{name}={folder / name}.csv" for name in tables)]


def trained(folder: Path, options: list[str]) -> float:
    """Last mAP of a run, in percent; trained where it is not yet."""
    file = folder / "metrics.jsonl"
    if not file.exists() or read_metrics(file)[-1]["event"] != "summary":
        words = [
            word
            for option in [*options, "eval.every=6", "device=cpu", f"output_dir={folder}"]
            for word in ("-o", option)
        ]
        if main(["train", "-c", "recordings.yaml", *words, "--overwrite"]):
            sys.exit(f"{folder} failed")
    return read_metrics(file)[-1]["last"]["mAP"]


def measure(folder: Path, data: list[str]) -> None:
    """Train every row with every seed, and print the table as it grows."""
    rows = {
        name: words for name, words in ROWS.items() if "data.clock=track" not in data or "cannot_link=true" not in words
    }
    found: dict[str, list[float]] = {name: [] for name in rows}
    for seed in SEEDS:
        for name, words in rows.items():
            options = [*data, *SMALL.split(), *words.split(), f"seed={seed}"]
            found[name].append(trained(folder / f"{name.replace(', ', '_')}_{seed}", options))
            print(
                f"{name:<28}{np.mean(found[name]):>6.1f}  {min(found[name]):.1f} to {max(found[name]):.1f}", flush=True
            )


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    place = Path(sys.argv[1])
    measure(place, [word for word in sys.argv[2:] if word != "-o"] or drawn(place))
