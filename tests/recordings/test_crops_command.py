"""ppreid crops from drawn recordings: what is found, what is refused, and what a killed command leaves."""

import contextlib
import http.server
import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cropping import contents, crops, table
from PIL import Image

from ppreid.recordings.boxes import box_iou, read_boxes
from ppreid.recordings.rows import SKIPPED_COLUMNS, TRACK_COLUMNS
from ppreid.recordings.sources import Recording


@pytest.fixture(scope="module")
def made(drawn, tmp_path_factory):
    """Crops of both cameras, found by HOG."""
    out = tmp_path_factory.mktemp("made") / "crops"
    assert crops(drawn / "camera1.mp4", drawn / "camera2.mp4", "--out", out) == 0
    return out


def boxes_of(rows):
    return np.array([[float(row[side]) for side in ("x", "y", "width", "height")] for row in rows])


def people_of(rows, drawn):
    """The person whose true box each crop fits; None where there is none."""
    truth = {camera: read_boxes(drawn / f"{camera}.txt").frames for camera in ("camera1", "camera2")}
    people = []
    for row, box in zip(rows, boxes_of(rows), strict=True):
        there = truth[row["camera"]].get(int(row["frame"]))
        iou = box_iou(box[None], there.boxes)[0] if there else np.zeros(1)
        people.append(int(there.ids[iou.argmax()]) if iou.max() > 0.4 else None)
    return people


def test_rows_crops_and_folders_belong_together(made):
    rows = table(made / "tracks.csv")
    assert rows and tuple(rows[0]) == TRACK_COLUMNS
    assert {row["path"] for row in rows} == {str(file.relative_to(made)) for file in made.rglob("*.jpg")}
    for row in rows:
        track, frame = int(row["track"]), int(row["frame"])
        assert row["path"] == f"{row['camera']}/track_{track:06d}/{track:06d}_{frame:06d}.jpg"
        assert float(row["time"]) == pytest.approx(frame / 10, abs=2e-3)
        assert Image.open(made / row["path"]).size == (int(row["width"]), int(row["height"]))
    for camera in ("camera1", "camera2"):
        numbers = {int(row["track"]) for row in rows if row["camera"] == camera}
        assert numbers == set(range(len(numbers)))
    assert not list(made.rglob(".*")), "notes are gone"


def test_crops_show_people_and_tracks_one_person(made, drawn):
    rows = table(made / "tracks.csv")
    people = people_of(rows, drawn)
    assert people.count(None) <= 0.02 * len(people)
    tracks = {}
    for row, person in zip(rows, people, strict=True):
        tracks.setdefault((row["camera"], row["track"]), []).append(person)
    right = sum(Counter(each).most_common(1)[0][1] for each in tracks.values())
    assert right / len(rows) >= 0.75  # of some thirty crops; docs/recordings.md has more
    truth = {camera: read_boxes(drawn / f"{camera}.txt").frames for camera in ("camera1", "camera2")}
    wanted = {
        (camera, frame, int(person))
        for camera, frames in truth.items()
        for frame, there in frames.items()
        for box, person in zip(there.boxes, there.ids, strict=True)
        if frame % 2 == 0 and box[2] >= 30  # five of ten frames in a second
    }
    found = {(row["camera"], int(row["frame"]), person) for row, person in zip(rows, people, strict=True)}
    assert len(wanted & found) / len(wanted) >= 0.45


def test_the_page_shows_every_track_and_loads_nothing(made):
    page = (made / "tracks.html").read_text(encoding="utf-8")
    numbers = {(row["camera"], row["track"]) for row in table(made / "tracks.csv")}
    assert page.count("<article>") == len(numbers)
    assert page.count("data:image/jpeg;base64,") >= 3 * len(numbers)
    assert "http" not in page.replace("http-equiv", "")


def test_crops_that_are_there_are_not_replaced_without_being_asked(made, drawn, capsys):
    before = contents(made)
    assert crops(drawn / "camera1.mp4", "--out", made) == 2
    assert "holds crops already; pass --overwrite" in capsys.readouterr().err
    assert contents(made) == before


def test_overwrite_removes_crops_and_nothing_else(drawn, tmp_path):
    boxes = [drawn / "camera1.mp4", "--boxes", drawn / "camera1.txt", "--out", tmp_path]
    assert crops(*boxes) == 0
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "camera1" / "notes.txt").write_text("mine as well")
    assert crops(*boxes, "--min-track", "999") == 2
    assert crops(*boxes, "--camera", "hall", "--per-second", "2", "--overwrite") == 0
    kept = {file.parts[0] for file in (path.relative_to(tmp_path) for path in tmp_path.rglob("*.jpg"))}
    assert kept == {"hall"}
    assert (tmp_path / "mine.txt").exists() and (tmp_path / "camera1" / "notes.txt").exists()


def test_a_folder_with_other_things_is_never_touched(drawn, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    for more in ([], ["--overwrite"]):
        assert crops(drawn / "camera1.mp4", "--out", tmp_path, *more) == 2
        assert "is not empty (mine.txt) and holds no crops of ppreid" in capsys.readouterr().err
    assert list(contents(tmp_path)) == ["mine.txt"]


def start(arguments):
    command = [sys.executable, "-m", "ppreid.cli", "crops", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, signal.SIGTERM])
def test_a_command_that_was_killed_goes_on_with_the_same_bytes(made, drawn, tmp_path, number):
    """SIGKILL (twice, later each time) and SIGTERM, while crops are written; another command is refused meanwhile."""
    out = tmp_path / "crops"
    arguments = [drawn / "camera1.mp4", drawn / "camera2.mp4", "--out", out]
    for least in (2, 30) if number == 1 else (10,):
        process = start(arguments)
        while process.poll() is None and len(list(out.rglob("*.jpg"))) < least:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL if number == 1 else number)
        assert process.wait(60) in (-signal.SIGKILL, 143)
        assert not (out / "tracks.csv").exists()
    assert crops(*arguments, "--per-second", "1") == 2
    assert crops(*arguments) == 0
    assert contents(out) == contents(made)


@pytest.fixture
def stream(drawn):
    """The address of a camera that shows the first drawn recording again and again."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=next")
            self.end_headers()
            with contextlib.suppress(OSError):  # the reader goes
                for picture in itertools.cycle(pictures):
                    self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
                    self.wfile.write(picture + b"\r\n")
                    time.sleep(0.05)

        def log_message(self, *arguments):
            pass

    pictures = []
    for frame in Recording(str(drawn / "camera1.mp4")).frames(lambda number, moment: True):
        Image.fromarray(frame.picture).save(buffer := io.BytesIO(), "JPEG")
        pictures.append(buffer.getvalue())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/stream.mjpg"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_a_stream_ends_with_ctrl_c_and_goes_on_after_a_kill(stream, tmp_path):
    out = tmp_path / "crops"
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        before = len(list(out.rglob("*.jpg")))
        process = start([stream, "--camera", "hall", "--out", out, "--per-second", "10"])
        while process.poll() is None and len(list(out.rglob("*.jpg"))) < before + 4:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == code
    rows = table(out / "tracks.csv")
    assert {row["path"] for row in rows} <= {str(file.relative_to(out)) for file in out.rglob("*.jpg")}
    assert len(rows) >= len(list(out.rglob("*.jpg"))) - 1 and len(rows) >= 7
    assert len({row["path"] for row in rows}) == len(rows)
    assert time.time() - 600 < float(rows[0]["time"]) <= float(rows[-1]["time"]) < time.time()
    numbers = [int(row["track"]) for row in rows]
    assert set(numbers) == set(range(max(numbers) + 1))


def test_given_identities_are_tracks_and_a_jump_ends_one(drawn, tmp_path, capsys):
    lines = (drawn / "camera1.txt").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    moved = [[*row[:2], "900", *row[3:]] if row[0] == "20" else row for row in rows]  # outside of the picture
    late = [["999", "1", "5", "5", "60", "110", "1", "1", "1"], ["7", "-1", "5", "5", "60", "110", "1", "-1"]]
    (tmp_path / "boxes.txt").write_text("\n".join(",".join(row) for row in moved + late))
    every_frame = ["--per-second", "100", "--min-sharpness", "0", "--max-overlap", "1"]
    boxes = ["--boxes", tmp_path / "boxes.txt"]
    assert crops(drawn / "camera1.mp4", *boxes, "--out", tmp_path / "out", *every_frame) == 0
    found = table(tmp_path / "out" / "tracks.csv")
    people = {
        (row["track"], person)
        for row in found
        for person, *box in ((r[1], *r[2:6]) for r in rows if int(r[0]) == int(row["frame"]) + 1)
        if [row[side] for side in ("x", "y", "width", "height")] == box
    }
    assert len(people) == len({track for track, _ in people}), "a track has one identity"
    skipped = table(tmp_path / "out" / "skipped.csv")
    assert tuple(skipped[0]) == SKIPPED_COLUMNS
    reasons = Counter(row["reason"] for row in skipped)
    assert reasons["outside the frame"] == sum(row[0] == "20" for row in rows)
    assert reasons["no identity"] == 1
    out = capsys.readouterr().out
    assert "after the last frame 1" in out and "times an identity was suddenly elsewhere" in out


def test_boxes_without_identities_are_tracked(drawn, tmp_path):
    lines = [line.split(",") for line in (drawn / "camera1.txt").read_text().splitlines()]
    (tmp_path / "boxes.txt").write_text("\n".join(",".join([row[0], "-1", *row[2:6], "0.8"]) for row in lines))
    assert crops(drawn / "camera1.mp4", "--boxes", tmp_path / "boxes.txt", "--out", tmp_path / "out") == 0
    rows = table(tmp_path / "out" / "tracks.csv")
    assert len({row["track"] for row in rows}) > 1 and {row["score"] for row in rows} == {"0.8000"}


def test_nobody_found_is_said_with_what_to_try_and_leaves_nothing(tmp_path, capsys):
    for number in range(3):
        (tmp_path / "empty").mkdir(exist_ok=True)
        Image.new("RGB", (320, 240), (90, 90, 90)).save(tmp_path / "empty" / f"{number}.png")
    assert crops(tmp_path / "empty", "--out", tmp_path / "out") == 3
    error = capsys.readouterr().err
    assert "no crops (detector hog, its own least score, --min-size 32x96" in error
    assert "empty: 320x240, 1 of 3 frames looked at; 0 people" in error and "--detector onnx:FILE" in error
    assert not list((tmp_path / "out").iterdir())


def test_people_who_are_all_left_out_are_counted_by_reason(drawn, tmp_path, capsys):
    boxes = ["--boxes", drawn / "camera1.txt"]
    assert crops(drawn / "camera1.mp4", *boxes, "--out", tmp_path / "out", "--min-size", "200x230") == 3
    assert "left out: too small" in (error := capsys.readouterr().err) and "loosen what stands first" in error


def test_the_start_of_a_recording_is_added_to_its_times(drawn, tmp_path):
    boxes = ["--boxes", drawn / "camera1.txt"]
    start = "2024-05-01T10:00:00+02:00"
    assert crops(drawn / "camera1.mp4", *boxes, "--out", tmp_path / "out", "--start", start) == 0
    rows = table(tmp_path / "out" / "tracks.csv")
    assert all(float(row["time"]) == pytest.approx(1714550400 + int(row["frame"]) / 10, abs=2e-3) for row in rows)


def test_frames_in_a_folder_and_a_sheet(drawn, tmp_path):
    (tmp_path / "hall").mkdir()
    for frame in Recording(str(drawn / "camera1.mp4")).frames(lambda number, moment: True):
        Image.fromarray(frame.picture).save(tmp_path / "hall" / f"{frame.number:04d}.png")
    boxes = ["--boxes", drawn / "camera1.txt", "--frame-rate", "10", "--sheet", tmp_path / "sheet.png"]
    assert crops(tmp_path / "hall", *boxes, "--out", tmp_path / "out") == 0
    assert crops(drawn / "camera1.mp4", *boxes, "--out", tmp_path / "video", "--camera", "hall") == 0
    assert (tmp_path / "out" / "tracks.csv").read_bytes() == (tmp_path / "video" / "tracks.csv").read_bytes()
    tracks = {row["track"] for row in table(tmp_path / "out" / "tracks.csv")}
    assert Image.open(tmp_path / "sheet.png").height == len(tracks) * (128 + 16 + 4)


def test_a_sheet_replaces_neither_files_of_others_nor_what_is_read(drawn, tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    for name in ("mine.png", "frames/0.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    before = contents(tmp_path)
    out = ["--out", tmp_path / "out"]
    assert crops(drawn / "camera1.mp4", *out, "--sheet", tmp_path / "mine.png") == 2
    assert "exists and is not a contact sheet of ppreid" in capsys.readouterr().err
    assert crops(tmp_path / "frames", *out, "--sheet", tmp_path / "frames" / "0.png", "--overwrite") == 2
    assert "is an input of this command" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_sheet_on_standard_output_is_alone_there(drawn, tmp_path):
    boxes = ["--boxes", drawn / "camera1.txt", "--per-second", "1", "--min-track", "1"]
    command = [sys.executable, "-m", "ppreid.cli", "crops", str(drawn / "camera1.mp4"), *map(str, boxes)]
    done = subprocess.run([*command, "--out", str(tmp_path / "out"), "--sheet", "-"], capture_output=True)
    assert done.returncode == 0 and b"camera camera1: 320x240" in done.stderr
    Image.open(io.BytesIO(done.stdout)).load()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--detector", "hogg"], "did you mean 'hog'"),
        (["--detector", "onnx"], "give it as onnx:FILE"),
        (["--detector", "hog:x"], "give it as hog"),
        (["--min-size", "40"], "--min-size is '40'"),
        (["--per-second", "0"], "--per-second is 0"),
        (["--max-overlap", "2"], "--max-overlap 2"),
        (["--start", "yesterday"], "--start is 'yesterday'"),
        (["--boxes", "a.txt", "--boxes", "b.txt"], "--boxes was given 2 times"),
        (["--camera", "a/b"], "letters, digits"),
    ],
)
def test_wrong_arguments_are_named_before_any_work(drawn, tmp_path, capsys, more, words):
    assert crops(drawn / "camera1.mp4", "--out", tmp_path / "out", *more) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_bad_source_stops_before_any_work(drawn, tmp_path, capsys):
    Path(tmp_path / "bad.mp4").write_text("no video")
    assert crops(drawn / "camera1.mp4", tmp_path / "bad.mp4", "--out", tmp_path / "out") == 3
    assert "bad.mp4 is no video" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
