"""From a folder with tracks.csv to error rates, a threshold, and what a search makes of it."""

import json
import re
import shutil

import numpy as np
import pytest

from ppreid import wiring
from ppreid.base.errors import EvaluationError
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.cli import main
from ppreid.config.data import DataConfig
from ppreid.config.load import load_config
from ppreid.verbs.without_labels import measured, some_tracks, tracked_images
from ppreid.weights.files import save_weights


@pytest.fixture
def recording(tiny_root, tmp_path):
    """A folder of crops with a track of every person, all seen at once by one camera."""
    folder, rows, counts = tmp_path / "crops", ["path,camera,track,time"], {}
    (folder / "hall").mkdir(parents=True)
    for file in sorted((tiny_root / "demo" / "bounding_box_train").iterdir()):
        person = int(file.name.split("_")[0])
        counts[person] = counts.get(person, 0) + 1
        shutil.copy(file, folder / "hall")
        rows.append(f"hall/{file.name},hall,{person},{counts[person]}")
    (folder / "tracks.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def arguments(tiny_config, recording, tmp_path):
    save_weights(tmp_path / "run" / "net.safetensors", wiring.reid_net(load_config(tiny_config).model))
    keys = [f"model.weights={tmp_path / 'run' / 'net.safetensors'}", f"output_dir={tmp_path / 'run'}"]
    keys += ["data.name=camera_folder", f"data.root={recording}"]
    return ["-c", str(tiny_config), *(word for key in keys for word in ("-o", key))]


@pytest.fixture(autouse=True)
def run_folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


COMPARED = ["eval.colour=0.4", "eval.camera_centre=5", "eval.within_tracks=2", "eval.flip=true"]


@pytest.mark.parametrize("how", [[], [word for key in COMPARED for word in ("-o", key)]])
def test_error_rates_a_threshold_and_the_verdict_of_a_search(arguments, recording, run_folder, tmp_path, capsys, how):
    arguments += how  # the threshold is of the similarities that a search compares by
    assert main(["eval", *arguments, "--without-labels"]) == 0
    out, err = capsys.readouterr()
    assert "pairs of one person" in out and "same person from" in out
    assert "these images are those that this configuration trains on" in err
    assert ("eval.within_tracks learned from the tracks of these images" in err) is bool(how)
    found = json.loads((run_folder / "without_labels.json").read_text())["results"]
    threshold = json.loads((run_folder / "threshold.json").read_text())
    assert threshold["same"] == found["same"] and 0 <= found["auc"] <= 1 and found["num_other"] > 0
    for _ in range(2):  # an index that is complete is not refused for its threshold
        assert main(["search", "index", *arguments, "--out", str(tmp_path / "index")]) == 0
    assert (tmp_path / "index" / "threshold.json").read_text() == (run_folder / "threshold.json").read_text()
    query = str(next((recording / "hall").iterdir()))
    assert main(["search", "query", str(tmp_path / "index"), query, "--json", str(tmp_path / "found.json")]) == 0
    for match in json.loads((tmp_path / "found.json").read_text())[0]["matches"]:
        wanted = "same person" if match["similarity"] >= found["same"] else "other"
        assert match["verdict"] == (wanted if match["similarity"] < found["other"] or wanted != "other" else "not sure")


def test_an_index_that_compares_otherwise_gets_no_threshold(arguments, run_folder, tmp_path):
    assert main(["eval", *arguments, "--without-labels"]) == 0
    assert main(["search", "index", *arguments, "--colour", "0.4", "--out", str(tmp_path / "index")]) == 0
    assert (run_folder / "threshold.json").exists() and not (tmp_path / "index" / "threshold.json").exists()


def test_an_index_of_another_network_gets_no_threshold(arguments, run_folder, tmp_path):
    assert main(["eval", *arguments, "--without-labels"]) == 0
    assert main(["search", "index", *arguments, "--out", str(tmp_path / "index")]) == 0
    content = json.loads((run_folder / "threshold.json").read_text())
    (run_folder / "threshold.json").write_text(json.dumps(content | {"weights_sha256": "0" * 64}, indent=2))
    again = ["search", "index", *arguments, "--out", str(tmp_path / "index"), "--overwrite"]
    assert main(again) == 0 and not (tmp_path / "index" / "threshold.json").exists()


@pytest.mark.filterwarnings("ignore:.*cameras have fewer")
def test_a_run_with_tracks_reports_what_they_tell(arguments, run_folder, capsys):
    keys = ["labels.unit=track", "labels.track.k1=3", "labels.track.min_images=2", "labels.cannot_link=true"]
    keys += ["batch.across=tracks", "labels.eps=0.9", "model.weights=none", "report.enabled=true", "solver.epochs=1"]
    keys += COMPARED
    assert main(["train", *arguments, *(word for key in keys for word in ("-o", key)), "--overwrite"]) == 0
    page = (run_folder / "report.html").read_text()
    assert "<h2>Without labels</h2>" in page
    weights = ["-o", f"model.weights={run_folder / 'checkpoint_last.safetensors'}"]
    how = [*arguments, *(word for key in COMPARED for word in ("-o", key)), *weights]
    capsys.readouterr()
    assert main(["eval", *how, "--without-labels", "--overwrite"]) == 0
    (threshold,) = re.findall(r"same person from \d\.\d+", capsys.readouterr().out)
    assert threshold in page


def record(track, time, camid=0, part="train"):
    return ImageRecord(f"{part}/{track}_{time}.jpg", -1, camid, track, time)


def test_images_to_measure_on_are_those_for_testing_where_they_have_tracks():
    train, query, unknown = record(1, 0.0), record(2, 0.0, part="query"), ImageRecord("x.jpg", -1, 0)
    data = DataConfig(name="camera_folder")
    assert tracked_images(ReIDSplit((train, unknown), (query,), (unknown,)), data) == [query]
    assert tracked_images(ReIDSplit((train, unknown), (unknown,), ()), data) == [train]
    with pytest.raises(EvaluationError, match="no image of data set camera_folder has a known track"):
        tracked_images(ReIDSplit((unknown,), (), ()), data)
    with pytest.raises(EvaluationError, match="counts its times from its own beginning"):
        tracked_images(ReIDSplit((train,), (), ()), DataConfig(clock="track"))


def test_what_the_threshold_does_between_cameras_is_known_where_images_have_labels():
    people, angles = (1, 2, 1, 2), (0, 80, 30, 100)  # two people, each with a track in each of two cameras
    images = [
        (ImageRecord(f"{track}_{time}.jpg", person, track // 2, track, time), angle + 5 * time)
        for track, (person, angle) in enumerate(zip(people, angles, strict=True))
        for time in (0.0, 1.0)
    ]
    records, degrees = zip(*images, strict=True)
    features = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1).astype(np.float32)
    found = measured(features, records)
    assert found.num_cameras == 2 and [row.cameras for row in found.between] == [(0, 1)]
    (row,) = found.between
    assert (row.pairs, row.tracks, row.found, row.auc) == (8, 4, 1.0, 1.0)
    unknown = measured(features, [record._replace(pid=-1) for record in records])
    assert unknown == found._replace(between=())


def test_of_many_images_whole_tracks_from_the_beginning_of_each_camera_are_taken():
    images = [
        record(track, 10.0 * track + i, camid)
        for camid, tracks in ((0, (5, 1, 3)), (1, (2,)))
        for track in tracks
        for i in range(3)
    ]
    assert some_tracks(images, 12) == images
    chosen = some_tracks(images, 8)  # four of each camera: one track and a part of the next, which is completed
    assert [(r.camid, r.track) for r in chosen] == [(0, 1)] * 3 + [(0, 3)] * 3 + [(1, 2)] * 3
