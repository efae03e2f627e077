"""The generated pedestrians: files, names, determinism, what depends on which argument."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.base.records import ImageRecord
from ppreid.datasets.market1501 import read_demo
from ppreid.demo import generated
from ppreid.demo.body import draw_person
from ppreid.demo.canvas import Canvas
from ppreid.demo.contact_sheet import contact_sheet
from ppreid.demo.generated import generate_demo_dataset
from ppreid.demo.pose import VIEWS, Pose
from ppreid.demo.shots import camera_numbered, person_numbered, plan_shots

TOOL = Path(__file__).parents[2] / "tools" / "make_demo_data.py"
DEFAULT_PLAN = {
    "train_identities": 72,
    "test_identities": 64,
    "cameras": 6,
    "train_images_per_camera": (3, 6),
    "test_images_per_camera": (3, 5),
    "distractors": 200,
    "seed": 0,
}


def make(root, **changes):
    tiny = {
        "train_identities": 3,
        "test_identities": 2,
        "cameras": 3,
        "train_images_per_camera": (1, 2),
        "test_images_per_camera": (2, 3),
        "distractors": 4,
        "height": 32,
        "width": 16,
    }
    return generate_demo_dataset(root, **(tiny | changes))


def contents(root):
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated") / "demo"
    return root, make(root)


def test_same_arguments_give_the_same_bytes(demo, tmp_path):
    root, _ = demo
    make(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(root)


def test_another_seed_gives_other_images(demo, tmp_path):
    root, _ = demo
    make(tmp_path / "other", seed=1)
    assert contents(tmp_path / "other").keys() != contents(root).keys()


def test_the_data_set_reads_back_as_market1501(demo):
    root, split = demo
    assert read_demo(root) == read_demo(root.parent) == split
    assert {record.pid for record in split.train} == {1, 2, 3}
    assert {record.pid for record in split.query} == {4, 5}
    assert {record.pid for record in split.gallery} == {0, 4, 5}  # no junk
    assert sum(record.pid == 0 for record in split.gallery) == 4
    assert {record.camid for part in split for record in part} <= {0, 1, 2}


def test_images_have_the_size_asked_for(demo):
    _, split = demo
    for record in split.train + split.query + split.gallery:
        with Image.open(record.path) as image:
            assert (image.size, image.mode) == ((16, 32), "RGB")


def test_nothing_but_the_data_set_is_left_behind(demo):
    root, split = demo
    assert [path.name for path in root.parent.iterdir()] == ["demo"]
    assert len(contents(root)) == sum(map(len, split)) + 1


def test_the_default_plan_has_the_documented_size():
    shots = plan_shots(**DEFAULT_PLAN)
    parts = [shot.file.split("/")[0] for shot in shots]
    assert 1_550 < parts.count("bounding_box_train") < 1_700
    assert 300 < parts.count("query") < 345
    assert 1_050 < parts.count("bounding_box_test") < 1_250
    assert sum("/0000_" in shot.file for shot in shots) == 200


@settings(max_examples=25, deadline=None)
@given(
    train=st.integers(1, 4),
    test=st.integers(1, 4),
    cameras=st.integers(2, 12),
    low=st.integers(2, 3),
    more=st.integers(0, 2),
    seed=st.integers(0, 2**40),
)
def test_every_query_has_a_match_in_another_camera(train, test, cameras, low, more, seed):
    plan = DEFAULT_PLAN | {"train_identities": train, "test_identities": test, "cameras": cameras, "distractors": 5}
    shots = plan_shots(**plan | {"test_images_per_camera": (low, low + more), "seed": seed})
    assert len({shot.file for shot in shots}) == len(shots)
    assert {shot.camera for shot in shots} <= set(range(cameras))
    gallery = {(shot.person, shot.camera) for shot in shots if shot.file.startswith("bounding_box_test/")}
    queries = [shot for shot in shots if shot.file.startswith("query/")]
    assert len({(query.person, query.camera) for query in queries}) == len(queries)
    for query in queries:
        assert any(person == query.person and camera != query.camera for person, camera in gallery)


def test_more_identities_leave_the_others_as_they_are(demo, tmp_path):
    root, _ = demo
    make(tmp_path / "more", train_identities=5, distractors=0)
    few, many = contents(root), contents(tmp_path / "more")
    train = [name for name in few if name.startswith("bounding_box_train")]
    assert train
    assert all(few[name] == many[name] for name in train)


PASSAGES = {"test_images_per_camera": (1, 2), "passage_images": (3, 4)}


def passages_of(split):
    found = {}
    for record in split.train + split.query + split.gallery:
        name = Path(record.path).name
        if record.pid > 0:
            found.setdefault(name.rsplit("_", 2)[0], []).append((int(name.split("_")[2]), record.path))
    return {track: sorted(images) for track, images in found.items()}


def test_images_of_a_passage_are_nearly_equal_and_never_equal(tmp_path):
    """Nearer to each other than to another passage of the same person in the same camera."""
    passages = passages_of(make(tmp_path / "passages", **PASSAGES, train_images_per_camera=(2, 2), difficulty=0.0))

    def pixels(path):
        return np.asarray(Image.open(path), dtype=float)

    assert all(3 <= len(images) <= 4 for images in passages.values())
    assert all(np.all(np.diff([frame for frame, _ in images]) == 4) for images in passages.values())
    pictures = {track: [pixels(path) for _, path in images] for track, images in passages.items()}
    within = [np.abs(a - b).mean() for each in pictures.values() for a, b in itertools.pairwise(each)]
    between = [
        np.abs(pictures[track][0] - pictures[track[:-1] + "2"][0]).mean()
        for track in pictures
        if track.endswith("s1")
        if track[:-1] + "2" in pictures
    ]
    assert min(within) > 0 and len(between) > 4
    assert np.median(within) < 0.7 * np.median(between)


def test_the_first_image_of_a_passage_is_a_query_and_the_rest_is_the_gallery(tmp_path):
    split = make(tmp_path / "passages", **PASSAGES)
    tracks = passages_of(split)
    queries = {record.path for record in split.query}
    assert queries == {images[0][1] for track, images in tracks.items() if int(track.split("_")[0]) > 3}
    assert len(split.gallery) == sum(len(tracks[Path(path).name.rsplit("_", 2)[0]]) - 1 for path in queries) + 4


def test_people_of_one_camera_are_as_many_as_asked_for_and_the_others_stay_as_they_are(demo, tmp_path):
    root, _ = demo
    plan = plan_shots(**DEFAULT_PLAN, one_camera=1.0)
    assert all(len({shot.camera for shot in plan if shot.person == person}) == 1 for person in range(1, 73))
    plan = plan_shots(**DEFAULT_PLAN, one_camera=0.5)
    alone = [len({shot.camera for shot in plan if shot.person == person}) == 1 for person in range(1, 73)]
    assert 24 < sum(alone) < 48
    assert all(len({shot.camera for shot in plan if shot.person == person}) >= 4 for person in range(73, 137))
    make(tmp_path / "some", one_camera=0.5)
    before, after = contents(root), contents(tmp_path / "some")
    test_images = [name for name in before if name.startswith(("query", "bounding_box_test"))]
    assert test_images and all(before[name] == after[name] for name in test_images)


def test_a_folder_with_passages_is_none_without(tmp_path):
    make(tmp_path / "passages", **PASSAGES)
    with pytest.raises(DataError, match=r"passage_images is \[3, 4\], not left out"):
        make(tmp_path / "passages")


def test_difficulty_changes_the_images_but_not_the_names(demo, tmp_path):
    root, _ = demo
    make(tmp_path / "hard", difficulty=1.0)
    easy, hard = contents(root), contents(tmp_path / "hard")
    images = [name for name in easy if name.endswith(".jpg")]
    assert easy.keys() == hard.keys()
    assert all(easy[name] != hard[name] for name in images)


def test_cameras_without_difficulty_are_neutral():
    for number in range(4):
        camera = camera_numbered(0, number, difficulty=0.0)
        np.testing.assert_allclose(camera.gain, 1)
        np.testing.assert_allclose(camera.mix, np.eye(3))
        assert (camera.noise, camera.occlusion, camera.saturation, camera.gamma) == (0, 0, 1, 1)


def test_families_share_the_main_colours_but_not_everything():
    people = [person_numbered(0, number) for number in range(1, 301)]

    def distance(a, b):
        return np.linalg.norm(a.upper - b.upper) + np.linalg.norm(a.lower_colour - b.lower_colour)

    siblings = [distance(people[i], people[i + 1]) for i in range(0, 300, 3)]
    strangers = [distance(people[i], people[i + 3]) for i in range(0, 297, 3)]
    assert np.median(siblings) < 0.4 * np.median(strangers)
    assert any(people[i].pattern != people[i + 1].pattern for i in range(0, 300, 3))


@pytest.mark.parametrize("view", VIEWS)
def test_a_head_stands_out_even_from_a_background_of_the_colour_of_the_hair(view):
    looks = [person_numbered(3, number) for number in range(1, 100)]
    for look in (look for look in looks if look.hair.mean() > 80):  # no scene is as dark as black hair
        background = tuple(int(v) for v in look.hair)
        canvas = Canvas(Image.new("RGB", (150, 240), background), scale=200, origin=(75, 220))
        draw_person(canvas, look, Pose(view, stride=0.5, turn=0.0))
        left, upper = canvas.pixel((-0.08, 0.99))
        right, lower = canvas.pixel((0.08, 0.85))
        head = np.asarray(canvas.image.crop((round(left), round(upper), round(right), round(lower)))).astype(int)
        assert (np.abs(head - background).max(axis=2) > 8).mean() > 0.06, look.hairstyle


def test_people_stand_on_the_ground_and_fit_in_their_height():
    canvas = Canvas(Image.new("RGB", (300, 300)), scale=200, origin=(150, 250))
    for view in VIEWS:
        draw_person(canvas, person_numbered(0, 1), Pose(view, stride=1.0, turn=0.0))
    left, upper, right, lower = canvas.image.getbbox()
    assert 40 <= upper <= 62  # the top of the head is at 50
    assert 245 <= lower <= 256
    assert right - left < 150


def test_a_complete_data_set_is_not_made_again(demo, monkeypatch):
    root, split = demo
    monkeypatch.setattr(generated, "take_picture", None)  # drawing would fail
    assert make(root) == split


def test_other_arguments_are_refused_and_nothing_changes(demo):
    root, _ = demo
    before = contents(root)
    with pytest.raises(DataError, match=r"other arguments: cameras is 3, not 4; seed is 0, not 7; delete the folder"):
        make(root, cameras=4, seed=7)
    assert contents(root) == before


@pytest.mark.parametrize("description", [None, "not json", "3", "[" * 100_000, "{" + " " * 5_000_000, "{}\0"])
def test_a_folder_with_something_else_is_refused(tmp_path, description):
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    if description is not None:
        (tmp_path / "generated.json").write_text(description)
    with pytest.raises(DataError, match="is not empty and holds no generated data"):
        make(tmp_path)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"precious"


def test_missing_images_are_reported(tmp_path):
    split = make(tmp_path / "demo")
    Path(split.train[0].path).unlink()
    with pytest.raises(DataError, match=rf"damaged: 1 of {sum(map(len, split))} images are missing"):
        make(tmp_path / "demo")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "demo").mkdir()
    assert make(tmp_path / "demo").train
    assert json.loads((tmp_path / "demo" / "generated.json").read_text())["train_identities"] == 3


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "take_picture", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_behind_is_removed_by_the_next_one(tmp_path):
    (tmp_path / ".demo.0.tmp" / "demo").mkdir(parents=True)
    (tmp_path / ".demo.0.tmp").chmod(0o700)
    make(tmp_path / "demo")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_folder_that_cannot_be_written_is_an_error_of_writing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"demo data cannot be written to .* choose another folder"):
        make(tmp_path / "file" / "deep" / "demo")


def test_all_bad_arguments_are_listed(tmp_path):
    with pytest.raises(ConfigError) as caught:
        make(
            tmp_path / "demo",
            cameras=1,
            seed=-1,
            difficulty=1.5,
            train_images_per_camera=(3, 2),
            test_images_per_camera=(1, 2),
            width=64,
        )
    for problem in (
        "cameras is 1, but must be at least 2",
        "seed is -1",
        "difficulty is 1.5, but must be from 0 to 1",
        "train_images_per_camera is 3 to 2",
        "test_images_per_camera is 1 to 2, but must rise and start at 2 or more",
        "width is 64, but must not exceed height, 32",
    ):
        assert problem in str(caught.value)
    assert not (tmp_path / "demo").exists()


def test_the_contact_sheet_has_a_row_per_identity_and_a_column_per_camera(demo):
    _, split = demo
    sheet = contact_sheet(split.train, identities=2, images_per_camera=1, height=32, width=16)
    assert sheet.size == (3 * (16 + 2 + 8) - 8 - 2, 16 + 2 * (32 + 2) - 2)
    first = next(record for record in split.train if record.camid == 0)
    assert len(contact_sheet([first], identities=2, images_per_camera=1).getcolors(maxcolors=10**6)) > 50


def test_a_contact_sheet_needs_known_identities():
    with pytest.raises(DataError, match="none of the 1 images has a known identity and a known camera"):
        contact_sheet([ImageRecord("nowhere.jpg", -1, 0)])


def run_tool(*arguments):
    tiny = ("--train-identities=2", "--test-identities=1", "--cameras=2", "--distractors=0", "--height=16", "--width=8")
    return subprocess.run([sys.executable, str(TOOL), *tiny, *map(str, arguments)], capture_output=True, text=True)


def test_the_tool_writes_data_and_sheet_and_then_finds_them(tmp_path):
    for word in ("ready", "already there"):
        done = run_tool("--out", tmp_path / "demo", "--sheet", tmp_path / "sheet.png")
        assert (done.returncode, done.stdout) == (0, "")
        assert word in done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 100


def test_the_tool_reports_errors_without_a_traceback(tmp_path):
    done = run_tool("--out", tmp_path / "demo", "--difficulty", "7")
    assert done.returncode == ConfigError.exit_code
    assert done.stderr.endswith("\nerror: the demo data cannot be made: difficulty is 7.0, but must be from 0 to 1\n")
