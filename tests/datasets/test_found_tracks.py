"""Tracks of crops that no tracker numbered."""

import numpy as np
import pytest
from PIL import Image

from ppreid.base.records import ImageRecord
from ppreid.datasets.camera_folder import read_camera_folder
from ppreid.datasets.camera_table import NamedImage
from ppreid.datasets.colour import colour_features
from ppreid.datasets.found_tracks import found_tracks

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 30)


def draw(path, colour, *, noise=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((24, 12, 3), colour, float) + (0 if noise is None else noise.normal(0, 40, (24, 12, 3)))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return str(path)


def test_tracks_are_those_of_a_plain_loop(tmp_path):
    rng = np.random.default_rng(0)
    colours = rng.choice([0, 1, 2], 40)
    images = [
        NamedImage(draw(tmp_path / f"{n}.png", (RED, BLUE, GREEN)[colour], noise=rng), f"cam{rng.integers(2)}", "")
        for n, colour in enumerate(colours)
    ]
    features = colour_features([ImageRecord(image.path, -1, 0) for image in images], num_workers=0)
    wanted, last = {}, {}
    for image, feature in zip(images, features, strict=True):  # numbers of files are their order
        number, before = last.get(image.camera, (-1, np.zeros(768)))
        number += float(before @ feature) < 0.5
        last[image.camera] = (number, feature)
        wanted[image.path] = (image.camera, number, -1)
    found = found_tracks(images[::-1], alike=0.5)
    assert {path: tuple(track) for path, track in found.items()} == wanted
    assert 2 < len(set(wanted.values())) < len(images)


def test_a_track_ends_with_its_camera_with_other_colours_and_with_what_cannot_be_read(tmp_path):
    order = [("a", "2", RED), ("a", "10", RED), ("a", "11", BLUE), ("b", "1", BLUE), ("b", "3", BLUE), ("", "9", BLUE)]
    images = [NamedImage(draw(tmp_path / camera / f"{name}.png", colour), camera, "") for camera, name, colour in order]
    (tmp_path / "b" / "2.png").write_text("no image")
    found = found_tracks([NamedImage(str(tmp_path / "b" / "2.png"), "b", ""), *images])
    tracks = [found[image.path][:2] for image in images[:5]]
    assert tracks == [("a", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 1)] and len(found) == 5
    assert found_tracks([]) == {}


@pytest.mark.parametrize("root", ["crops", "crops/../crops"])
def test_a_folder_may_ask_for_them(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    for camera, name, colour in [("a", "1", RED), ("a", "2", RED), ("a", "3", BLUE), ("b", "1", BLUE)]:
        draw(tmp_path / "crops" / camera / f"{name}.png", colour)
    draw(tmp_path / "people" / "7_c1.png", RED)
    labelled = {"query": "people", "gallery": "people", "label_pattern": r"(?P<pid>\d+)_(?P<camera>c\d)"}
    split, _, notes = read_camera_folder(tmp_path / root, tracks="found", **labelled)
    assert [(record.track, record.time) for record in split.train] == [(0, -1), (0, -1), (1, -1), (2, -1)]
    assert {record.track for record in split.query} == {-1}
    assert "tracks: 3 with 4 images, 2 images in none" in notes
    (tmp_path / "crops" / "tracks.csv").write_text("path,camera,track,time\na/1.png,a,5,0\n")
    again = read_camera_folder(tmp_path / root, tracks="found", **labelled).split
    assert again == split
