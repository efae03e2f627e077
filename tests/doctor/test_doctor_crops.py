import numpy as np
import pytest
from PIL import Image

from ppreid.doctor import duplicates
from ppreid.doctor.duplicates import check_frames, check_near_duplicates, sampled_rows, thumbnail, whole_frames

CROPS = [(64, 128), (70, 150), (55, 120), (128, 256), (40, 90)]


@pytest.mark.parametrize(
    ("size", "is_frame"),
    [
        ((1280, 720), True),
        ((1920, 1080), True),
        ((640, 480), True),
        ((704, 576), True),
        ((4096, 3072), True),
        ((420, 300), True),  # no format of video, but far larger than the crops and lying instead of standing
        ((600, 1200), False),  # a person nearby
        ((120, 130), False),
        ((64, 128), False),
        ((0, 0), False),
    ],
)
def test_a_frame_among_crops_is_found(size, is_frame):
    sizes = np.array([*CROPS, size], np.int32)
    assert whole_frames(sizes).tolist() == ([len(CROPS)] if is_frame else [])


def test_frames_are_found_when_there_is_nothing_else():
    assert whole_frames(np.array([(1280, 720)] * 3, np.int32)).tolist() == [0, 1, 2]
    assert whole_frames(np.zeros((2, 2), np.int32)).tolist() == []
    assert whole_frames(np.zeros((0, 2), np.int32)).tolist() == []


def test_crops_of_vehicles_are_no_frames():
    rng = np.random.default_rng(0)
    heights = rng.integers(80, 400, 500)
    sizes = np.stack([heights * rng.uniform(0.9, 1.7, 500), heights], axis=1).astype(np.int32)
    assert len(whole_frames(sizes)) < 10


def test_frames_are_named_with_their_size():
    sizes = np.array([*CROPS, (1280, 720)], np.int32)
    finding = check_frames(sizes, [f"{row}.jpg" for row in range(6)])
    assert (finding.level, finding.items) == ("warning", ("5.jpg (1280 x 720)",))
    assert "1 of 6 images look like whole frames" in finding.text
    assert check_frames(sizes[:5], [""] * 5).level == "ok"


def unit(rows):
    rows = np.asarray(rows, np.float32) - np.mean(rows, axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("num_copies", "level"), [(0, "ok"), (24, "ok"), (26, "warning"), (100, "warning")])
def test_more_than_a_quarter_of_near_duplicates_is_a_warning(num_copies, level):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((100, 512))
    rows[:num_copies] = rows[0] + 0.3 * rng.standard_normal((num_copies, 512))  # correlation 0.92
    finding = check_near_duplicates(list(unit(rows)), [f"{row}" for row in range(100)], total=100)
    assert finding.level == level
    assert finding.text.startswith(f"{num_copies} % of 100 training images are")
    assert len(finding.items) == (num_copies if level == "warning" else 0)


def test_a_correlation_just_below_the_limit_does_not_count():
    a, b = unit(np.random.default_rng(0).standard_normal((2, 512)))
    b = b - (a @ b) * a
    for cosine, level in ((0.899, "ok"), (0.901, "warning")):
        other = cosine * a + np.sqrt(1 - cosine**2) * b / np.linalg.norm(b)
        assert check_near_duplicates([a, other], ["a", "b"], total=2).level == level


def test_images_without_a_pattern_or_that_cannot_be_read_resemble_nothing(tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path in paths[:2]:
        Image.new("RGB", (64, 128), (9, 9, 9)).save(path)
    thumbnails = [thumbnail(path) for path in paths]
    assert not np.any(thumbnails)
    assert check_near_duplicates(thumbnails, paths, total=3).text.startswith("0 % of 3")
    assert check_near_duplicates([], [], total=0).level == check_near_duplicates(thumbnails[:1], ["a"], total=1).level


def test_noise_brightness_and_size_do_not_hide_the_same_moment(tmp_path):
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(0, 200, (16, 8, 3)), np.ones((8, 8, 1)))
    for number, pixels in enumerate((scene, scene + 40, scene + rng.normal(0, 15, scene.shape), scene[::-1])):
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.resize((64 + 20 * number, 128 + 40 * number)).save(tmp_path / f"{number}.jpg")
    first, *others = (thumbnail(str(tmp_path / f"{number}.jpg")) for number in range(4))
    assert np.linalg.norm(first) == pytest.approx(1)
    assert [bool(first @ other > duplicates.SAME_MOMENT) for other in others] == [True, True, False]


@pytest.mark.parametrize("num_images", [0, 1, 4096, 4097, 5000, 1_000_000])
def test_the_work_is_bounded_and_spread_over_the_data_set(num_images):
    rows = sampled_rows(num_images)
    assert len(rows) <= min(num_images, duplicates.SAMPLE)
    assert np.all(np.diff(rows) > 0)
    if num_images:
        assert rows[0] == 0 and rows[-1] == num_images - 1
    if num_images > duplicates.SAMPLE:
        assert np.count_nonzero(np.diff(rows) == 1) >= len(rows) * (1 - 1 / duplicates.RUN)
