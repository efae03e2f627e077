"""configs/scratch.yaml on labelled crops, and with their people exchanged, with seeds: the table of docs/scratch.md.

    python benchmarks/scratch.py CROPS output/scratch_seeds
    python benchmarks/scratch.py CROPS output/scratch_seeds -o labels.start.epochs=8

CROPS has Market-1501's folders and names, where s3 is track 3 of that person and camera. Split A is CROPS as it is.
For split B the people of its training part whom several cameras saw are searched for, and all others are trained on:
queries are the first and the middle image of each of their tracks, the gallery is the rest. Seeds 1 to 3 of each split
are trained, some ten minutes each on one core; the same command goes on where it was interrupted. What is printed, from
the last evaluation of each run: mAP of network and colour as scratch.yaml compares them, of the network alone, and of
colour, plain and centred.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from ppreid.cli import main
from ppreid.run.metrics import read_metrics

ROWS = {"both": "mAP", "network alone": "network alone: mAP"}
COLOUR = {"colour": "colour: mAP", "centred": "colour, centred: mAP"}


def facts(image: Path) -> tuple[str, str, str, int]:
    """Person, camera and track, and frame, from PPPP_cCsT_FFFFFF_NN.jpg."""
    person, place, frame, _ = image.stem.split("_")
    return person, place[: place.index("s")], f"{person}_{place}", int(frame)


def exchanged(crops: Path, out: Path) -> Path:
    """Split B as links to the images of split A."""
    train, query, gallery = (out / name for name in ("bounding_box_train", "query", "bounding_box_test"))
    for folder in (train, query, gallery):
        folder.mkdir(parents=True, exist_ok=True)
    images = {part: sorted((crops / part.name).glob("*.jpg")) for part in (train, query, gallery)}
    cameras, tracks = defaultdict(set), defaultdict(list)
    for image in images[train]:
        person, camera, track, frame = facts(image)
        cameras[person].add(camera)
        tracks[track].append((frame, image))
    chosen: dict[Path, Path] = dict.fromkeys(images[query] + images[gallery], train)
    for found in tracks.values():
        found.sort()
        first = {found[0][1], found[len(found) // 2][1]}
        for _, image in found:
            searched = len(cameras[facts(image)[0]]) > 1
            chosen[image] = (query if image in first else gallery) if searched else train
    for image, folder in chosen.items():
        if not (folder / image.name).exists():
            (folder / image.name).symlink_to(image.absolute())
    return out


def trained(folder: Path, options: list[str]) -> list[dict]:
    """Evaluations of a run; trained where it is not yet."""
    file = folder / "metrics.jsonl"
    if not file.exists() or read_metrics(file)[-1]["event"] != "summary":
        chosen = [
            "data.name=market1501",
            "data.num_workers=0",
            "report.enabled=false",
            *options,
            f"output_dir={folder}",
        ]
        if main(
            ["train", "-c", "scratch.yaml", *(word for option in chosen for word in ("-o", option)), "--overwrite"]
        ):
            sys.exit(f"{folder} failed")
    return [row for row in read_metrics(file) if row["event"] == "evaluation"]


def measure(crops: Path, out: Path, options: list[str]) -> None:
    """Train and print, a line for each run and one for each split."""
    for split, root in (("A", crops), ("B", exchanged(crops, out / "crops_B"))):
        found: dict[str, list[float]] = defaultdict(list)
        for seed in (1, 2, 3):
            runs = trained(out / f"{split}_{seed}", [f"data.root={root.absolute()}", f"seed={seed}", *options])
            for name, key in ROWS.items():
                found[name].append(runs[-1][key])
            colour = {name: runs[0][key] for name, key in COLOUR.items()}
            print(split, seed, {name: values[-1] for name, values in found.items()} | colour, flush=True)
        for name, values in found.items():
            print(f"{split} {name}: {np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    measure(Path(sys.argv[1]), Path(sys.argv[2]), [word for word in sys.argv[3:] if word != "-o"])
