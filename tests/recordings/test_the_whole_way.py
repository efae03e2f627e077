"""From drawn recordings to a network: does it know people across cameras, without a label?"""

from collections import Counter

import numpy as np
import pytest
from cropping import crops, table

from ppreid import evaluate_features
from ppreid.cli import main
from ppreid.demo.recorded import generate_recordings
from ppreid.recordings.boxes import box_iou, read_boxes

QUICK = (
    "data.height=32 data.width=16 data.num_workers=0 model.base_width=8 solver.epochs=2 solver.iters=4 "
    "batch.identities=4 eval.batch_size=64 eval.engine=eager device=cpu"
)


def true_people(rows, root):
    """The person whose true box each crop fits, -1 where there is none."""
    truth = {row["camera"]: read_boxes(root / f"{row['camera']}.txt").frames for row in rows}
    people = []
    for row in rows:
        there = truth[row["camera"]].get(int(row["frame"]))
        box = np.array([[float(row[side]) for side in ("x", "y", "width", "height")]])
        iou = box_iou(box, there.boxes)[0] if there else np.zeros(1)
        people.append(int(there.ids[iou.argmax()]) if iou.max() > 0.4 else -1)
    return np.array(people)


def wanted_boxes(root):
    """Camera, frame and person of all true boxes that are not hardly in the picture, in five of ten frames."""
    return {
        (file.stem, frame, int(person))
        for file in root.glob("*.txt")
        for frame, there in read_boxes(file).frames.items()
        for box, person in zip(there.boxes, there.ids, strict=True)
        if frame % 2 == 0 and box[2] >= 30
    }


def mean_ap(vectors, features, rows, people):
    """MAP of every third crop against all others, across cameras; row i of the vectors is that of the file's list."""
    by_path = {row["path"]: number for number, row in enumerate(rows)}
    listed = table(features.with_suffix(".csv"))
    places = [by_path["/".join(row["path"].split("/")[-3:])] for row in listed]
    vectors, persons = vectors / np.linalg.norm(vectors, axis=1, keepdims=True), people[places]
    cameras = np.array([int(rows[place]["camera"][-1]) for place in places])
    known = np.flatnonzero(persons >= 0)
    query = known[::3]
    found = evaluate_features(
        vectors[query], vectors[known], persons[query], persons[known], cameras[query], cameras[known]
    )
    return found.mean_ap


@pytest.mark.slow
def test_recordings_become_a_network_without_a_label(tmp_path, is_long):
    """At small size every step takes what the one before wrote; with --long (make test-recordings) it learns, too."""
    root, out, run = tmp_path / "recordings", tmp_path / "mine", tmp_path / "run"
    size = {"people": 12, "seconds": 40} if is_long else {"people": 5, "seconds": 5}
    videos = generate_recordings(root, cameras=2, **size)
    boxes = [] if is_long else [part for video in videos for part in ("--boxes", video.with_suffix(".txt"))]
    assert crops(*videos, *boxes, "--out", out) == 0
    rows = table(out / "tracks.csv")
    people = true_people(rows, root)
    tracks = {}
    for row, person in zip(rows, people.tolist(), strict=True):
        tracks.setdefault((row["camera"], row["track"]), []).append(person)
    right = sum(Counter(each).most_common(1)[0][1] for each in tracks.values())
    assert right / len(rows) >= 0.88

    options = [f"data.root={out}", f"output_dir={run}", *([] if is_long else QUICK.split())]
    given = [part for option in options for part in ("-o", option)]
    assert main(["train", "-c", "recordings.yaml", *given]) == 0
    weights = f"model.weights={run / 'checkpoint_last.safetensors'}"
    features = tmp_path / "features.npy"
    read = ["extract", "-c", str(run / "config.yaml"), "--images", str(out), "-o", weights]
    assert main([*read, "--out", str(features)]) == 0
    vectors = np.load(features)
    assert len(vectors) == len(rows) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    if is_long:
        found = {(row["camera"], int(row["frame"]), person) for row, person in zip(rows, people.tolist(), strict=True)}
        recall = len(wanted_boxes(root) & found) / len(wanted_boxes(root))
        noise = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
        colour = tmp_path / "colour.npy"
        assert main([*read, "--features", "colour", "--out", str(colour)]) == 0
        precisions = [mean_ap(each, features, rows, people) for each in (vectors, np.load(colour), noise)]
        print(f"{len(rows)} crops in {len(tracks)} tracks, recall {recall:.3f}, purity {right / len(rows):.3f}")
        print("mAP across cameras {:.3f}, of colour {:.3f}, by chance {:.3f}".format(*precisions))
        assert recall > 0.55 and precisions[0] > max(1.5 * precisions[2], precisions[1])
