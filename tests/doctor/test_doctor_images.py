import threading
import time

import numpy as np
import pytest
from PIL import Image

from ppreid.doctor.images import ImageFacts, check_images, image_facts, in_threads, survey_images


@pytest.fixture
def zoo(tmp_path):
    """One image of each kind, by name."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    person = Image.fromarray(noise)
    turned = Image.Exif()
    turned[0x0112] = 6
    person.save(tmp_path / "fine.jpg")
    person.save(tmp_path / "fine.png")
    person.save(tmp_path / "turned.jpg", exif=turned)
    person.convert("L").save(tmp_path / "grey.jpg")
    person.convert("CMYK").save(tmp_path / "print.jpg")
    person.save(tmp_path / "png_inside.jpg", format="PNG")
    person.resize((6, 64)).save(tmp_path / "thin.bmp")
    person.save(tmp_path / "moving.webp", save_all=True, append_images=[person.rotate(90)], lossless=True)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "fine.jpg").read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("hello\n")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    return tmp_path


def survey_of(zoo, names):
    paths = [str(zoo / name) for name in names]
    return survey_images(paths, in_threads(image_facts, paths, num_workers=2))


def test_a_readable_image_is_described(zoo):
    facts = image_facts(str(zoo / "fine.jpg"))
    size = (zoo / "fine.jpg").stat().st_size
    assert facts == ImageFacts("", size, 32, 64, "JPEG", "RGB", is_animated=False, is_turned=False)
    assert image_facts(str(zoo / "turned.jpg")).is_turned
    assert image_facts(str(zoo / "moving.webp")).is_animated


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.jpg", "empty or not an image"),
        ("cut.jpg", "truncated"),
        ("text.jpg", "not an image"),
        ("folder.jpg", "it is a folder"),
        ("dangling.jpg", "does not exist"),
    ],
)
def test_an_unreadable_image_is_named_with_the_reason(zoo, name, reason):
    error = image_facts(str(zoo / name)).error
    assert str(zoo / name) in error
    assert reason in error


def test_damaged_exif_does_not_make_an_image_unreadable(tmp_path):
    path = tmp_path / "exif.jpg"
    Image.new("RGB", (32, 64)).save(path, exif=b"Exif\x00\x00XX\x00*broken")
    assert image_facts(str(path)).error == ""


def test_sizes_formats_and_what_stands_out_are_collected(zoo):
    names = ["fine.jpg", "cut.jpg", "grey.jpg", "print.jpg", "png_inside.jpg", "thin.bmp", "moving.webp", "turned.jpg"]
    survey = survey_of(zoo, names)
    assert survey.num_bytes.tolist() == [-1 if name == "cut.jpg" else (zoo / name).stat().st_size for name in names]
    assert survey.kinds["JPEG RGB"] == 2 and survey.kinds["JPEG L"] == survey.kinds["PNG RGB"] == 1
    assert survey.shapes == {(32, 64): 5, (64, 32): 1, (6, 64): 1}
    for found, name in (
        (survey.colourless, "grey.jpg"),
        (survey.animated, "moving.webp"),
        (survey.turned, "turned.jpg"),
        (survey.misnamed, "png_inside.jpg"),
        (survey.tiny, "thin.bmp"),
    ):
        assert found == [str(zoo / name)]


def test_each_thing_that_stands_out_is_a_warning_with_the_files(zoo):
    findings = check_images(survey_of(zoo, ["fine.jpg", "grey.jpg"]), bad_are_skipped=False)
    assert [finding.level for finding in findings] == ["ok", "ok", "warning"]
    assert findings[0].text == "2 of 2 images can be decoded"
    assert findings[1].text == "formats: 1 JPEG RGB, 1 JPEG L\nwidth x height: 32 x 64 (2)"
    assert findings[2].items == (str(zoo / "grey.jpg"),)


def test_images_that_are_turned_are_only_noted(zoo):
    findings = check_images(survey_of(zoo, ["fine.jpg", "turned.jpg"]), bad_are_skipped=False)
    assert [finding.level for finding in findings] == ["ok", "ok", "ok"]
    assert findings[2].text == "1 images are turned by EXIF; they are read upright, as viewers show them"


def test_unreadable_images_are_a_problem_unless_they_are_skipped_and_some_are_left(zoo):
    some, none = survey_of(zoo, ["fine.jpg", "cut.jpg"]), survey_of(zoo, ["cut.jpg", "empty.jpg"])
    assert [check_images(survey, bad_are_skipped=False)[0].level for survey in (some, none)] == ["problem", "problem"]
    assert [check_images(survey, bad_are_skipped=True)[0].level for survey in (some, none)] == ["warning", "problem"]
    assert "1 of 2 images are unreadable" in check_images(some, bad_are_skipped=True)[0].text


def test_many_shapes_become_a_histogram_of_heights():
    heights = [15, 16, 63, 64, 64, 1024, 3000]
    facts = [ImageFacts("", 9, 10 + row, height, "JPEG", "RGB") for row, height in enumerate(heights)]
    survey = survey_images([f"{row}.jpg" for row in range(len(facts))], facts)
    text = check_images(survey, bad_are_skipped=False)[1].text
    assert "width 10 to 16, height 15 to 3000 pixels" in text
    assert "heights: below 16: 1, 16-31: 1, 32-63: 1, 64-127: 2, 1024 or more: 2" in text


def test_threads_keep_the_order_and_do_not_run_far_ahead():
    started, lock = [], threading.Lock()

    def double(number):
        time.sleep(0.001 * (number % 3))
        with lock:
            started.append(number)
        return 2 * number

    results = in_threads(double, range(1000), num_workers=3)
    assert next(results) == 0
    assert len(started) < 300
    assert list(results) == [2 * number for number in range(1, 1000)]
    assert list(in_threads(double, [], num_workers=0)) == []
