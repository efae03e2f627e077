"""Drawn recordings: bytes, what is true about them, and whether people meet, leave and come back."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppreid.base import optional
from ppreid.base.errors import ConfigError, DataError
from ppreid.base.optional import opencv
from ppreid.cli import main
from ppreid.demo.recorded import generate_recordings
from ppreid.demo.recording import draw_frames
from ppreid.demo.walks import Walk, duration, place_at, plan_walks

ASPECT = 4 / 3
TINY = {"cameras": 2, "people": 4, "seconds": 4, "rate": 3, "width": 200, "height": 200}


def walk_through(person, **changes):
    plain = {"camera": 0, "start": 0.0, "facing": 1, "speed": 0.5, "depth": 0.5, "stop": 0.5, "pause": 0.0}
    return Walk(person, **(plain | {"view": "front"} | changes))


def frames_of(*walks, seconds=6.0, rate=2.0, difficulty=0.0):
    drawn = draw_frames(walks, camera=0, seconds=seconds, rate=rate, size=(320, 240), difficulty=difficulty, seed=0)
    return list(drawn)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp("recordings") / "tiny"
    generate_recordings(root, **TINY)
    return root


def contents(root):
    return {file.name: file.read_bytes() for file in root.iterdir()}


def test_the_same_arguments_give_the_same_bytes_and_are_not_drawn_twice(recordings, tmp_path):
    generate_recordings(tmp_path / "again", **TINY)
    assert contents(tmp_path / "again") == contents(recordings)
    before = (recordings / "camera1.mp4").stat().st_mtime_ns
    assert generate_recordings(recordings, **TINY) == [recordings / "camera1.mp4", recordings / "camera2.mp4"]
    assert (recordings / "camera1.mp4").stat().st_mtime_ns == before


def test_the_videos_have_the_frames_and_the_text_their_numbers(recordings):
    cv2 = opencv("this test")
    for camera in ("camera1", "camera2"):
        video = cv2.VideoCapture(str(recordings / f"{camera}.mp4"))
        shapes = []
        while (read := video.read())[0]:
            shapes.append(read[1].shape)
        assert shapes == [(200, 200, 3)] * 12
        rows = [line.split(",") for line in (recordings / f"{camera}.txt").read_text().splitlines()]
        assert rows and all(len(row) == 9 for row in rows)
        for frame, person, left, top, width, height, *_ in (map(float, row) for row in rows):
            assert 1 <= frame <= 12 and 1 <= person <= 4
            assert left >= 0 and top >= 0 and left + width <= 200 and top + height <= 200


def test_a_true_box_is_where_the_pixels_of_the_person_are():
    """Without noise (difficulty 0) the picture differs from the empty street only where the person is."""
    street = np.asarray(frames_of(seconds=0.5)[0][0]).astype(int)
    found = [(np.asarray(picture), boxes[0]) for picture, boxes in frames_of(walk_through(1)) if boxes]
    assert len(found) > 5
    for picture, box in found:
        changed = (abs(picture - street) > 6).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        expected = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        assert np.allclose((box.x, box.y, box.x + box.width, box.y + box.height), expected, atol=2)
        assert box.visibility == 1.0


def test_the_nearer_person_hides_the_other():
    farther, nearer = walk_through(1, depth=0.45), walk_through(2, depth=0.55)
    boxes = {box.person: box for box in frames_of(nearer, farther)[6][1]}
    assert boxes[2].visibility == 1.0
    assert boxes[1].visibility < 0.5


def test_walks_end_outside_and_stand_still_in_between():
    walk = walk_through(1, start=1.0, pause=2.0)
    end = 1.0 + duration(walk, ASPECT)
    assert place_at(walk, 0.99, ASPECT) is None and place_at(walk, end + 0.01, ASPECT) is None
    assert place_at(walk, 1.0, ASPECT).x < 0 and place_at(walk, end, ASPECT).x > ASPECT
    middle = (1.0 + end) / 2
    views = [place_at(walk, middle + shift, ASPECT).pose.view for shift in (-1.1, -0.9, 0.9, 1.1)]
    assert views == ["right", "front", "front", "right"]
    places = [place_at(walk, middle + shift, ASPECT).x for shift in (-0.9, 0.0, 0.9)]
    assert places == [pytest.approx(ASPECT / 2)] * 3


def test_people_meet_leave_come_back_and_are_never_in_two_places():
    walks = plan_walks(people=12, cameras=2, seconds=60, aspect=ASPECT, seed=0)
    by_person = [[walk for walk in walks if walk.person == person] for person in range(1, 13)]
    assert sum(len({walk.camera for walk in own}) == 2 for own in by_person) >= 10
    assert any(a.camera == b.camera for own in by_person for a, b in pairwise(own))
    for own in by_person:
        for first, second in pairwise(own):
            assert first.start + duration(first, ASPECT) < second.start
    met = 0
    for moment in np.arange(0, 60, 0.5):
        at = [(walk.camera, place.x) for walk in walks if (place := place_at(walk, moment, ASPECT)) is not None]
        met += any(a[0] == b[0] and abs(a[1] - b[1]) < 0.1 for i, a in enumerate(at) for b in at[:i])
    assert met > 10


def test_people_are_large_enough_for_a_detector():
    drawn = frames_of(*plan_walks(people=6, cameras=1, seconds=8, aspect=ASPECT, seed=1), seconds=8, difficulty=0.3)
    inside = [box for _, boxes in drawn for box in boxes if box.x > 0 and box.x + box.width < 320]
    assert len(inside) > 10 and min(box.height for box in inside) >= 95


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cameras": 0}, "cameras is 0"),
        ({"cameras": 17}, "at most 16"),
        ({"width": 201}, "even"),
        ({"rate": 0}, "rate is 0"),
        ({"seconds": 0.1}, "less than a frame"),
        ({"difficulty": 2}, "difficulty is 2"),
        ({"height": 100}, "height is 100"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        generate_recordings(tmp_path / "new", **(TINY | changes))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_anything_else_is_not_touched(recordings, tmp_path):
    with pytest.raises(DataError, match="other arguments"):
        generate_recordings(recordings, **(TINY | {"seed": 1}))
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    with pytest.raises(DataError, match="holds no drawn recordings"):
        generate_recordings(tmp_path, **TINY)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.png"]


def test_a_missing_or_too_new_opencv_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"this test needs cv2.*pip install 'opencv-python-headless>=4.10,<5'"):
        opencv("this test")
    newer = type("OpenCV", (), {"__version__": "5.0.0"})
    monkeypatch.setattr(optional, "import_module", lambda name: newer)
    with pytest.raises(ConfigError, match=r"below 5, and 5.0.0 is installed"):
        opencv("this test")


def test_the_command_draws_recordings_instead_of_the_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = ["--cameras", "1", "--people", "2", "--seconds", "1", "--height", "200", "--width", "160"]
    assert main(["make-demo-data", "--recordings", "videos", *tiny]) == 0
    assert sorted(str(file) for file in Path().rglob("*.*")) == [
        "videos/camera1.mp4",
        "videos/camera1.txt",
        "videos/recordings.json",
    ]
    assert main(["make-demo-data", "--recordings", "more", *tiny, "--sheet", "sheet.png"]) == 2
    for of_images in (["--passage-images", "2", "3"], ["--one-camera", "0.5"], ["--unlabelled", "crops"]):
        assert main(["make-demo-data", "--recordings", "more", *tiny, *of_images]) == 2
        assert of_images[0] in capsys.readouterr().err
    assert not Path("more").exists()
