import json
import random
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ppreid.datasets import transforms
from ppreid.datasets.transforms import Rectangle, draw_rectangle, erase, eval_transform, pad_and_crop, train_transform

GOLDENS = Path(__file__).parent.parent / "data" / "goldens"
# the reference is of Pillow 13; versions before it round a few percent of the pixels differently
LEVELS = 0 if int(PIL.__version__.split(".")[0]) >= 13 else 2
SIZES = ("128x64", "300x110", "97x41")


class PythonRandom:
    """The three methods of numpy's generator that the transforms use, on Python's generator as the released code."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def random(self):
        return self._random.random()

    def uniform(self, low, high):
        return self._random.uniform(low, high)

    def integers(self, low, high, endpoint):
        assert endpoint
        return self._random.randint(low, high)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDENS / "transforms.npz", allow_pickle=False) as data:
        return dict(data)


@pytest.mark.parametrize("size", SIZES)
def test_resize_and_evaluation_equal_the_released_code(golden, size):
    source = Image.fromarray(golden[f"src_{size}"])
    resized = np.asarray(transforms.resize(source, height=256, width=128))
    assert np.abs(resized.astype(int) - golden[f"resized_u8_{size}"]).max() <= LEVELS
    pixels = eval_transform(source, height=256, width=128)
    assert pixels.shape == (3, 256, 128) and pixels.dtype == np.float32 and pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels[:, :4, :4], golden[f"test_corner_{size}"], atol=1e-6 + 0.02 * LEVELS)
    case = json.loads(str(golden["meta"]))["cases"][SIZES.index(size)]
    assert pixels.sum(dtype=np.float64) == pytest.approx(case["test_sum"], abs=1e-2 + 100 * LEVELS)
    assert np.abs(pixels).sum(dtype=np.float64) == pytest.approx(case["test_abs"], abs=1e-2 + 100 * LEVELS)


def test_the_erased_rectangles_equal_the_released_code(golden):
    for seed, *expected in golden["erase_rects"].tolist():
        rng = PythonRandom(seed)
        rectangle = draw_rectangle(rng, height=256, width=128) if rng.random() < 0.5 else None
        assert list(rectangle or (-1, -1, 0, 0)) == expected  # the numbers mark an image that stays whole like this


def test_the_training_transform_equals_the_released_code(golden):
    source = Image.fromarray(golden["src_128x64"])
    for seed, total, absolute, *_ in golden["train_checksums"]:
        pixels = train_transform(source, PythonRandom(int(seed)), height=256, width=128)
        assert pixels.sum(dtype=np.float64) == pytest.approx(total, abs=1e-2)
        assert np.abs(pixels).sum(dtype=np.float64) == pytest.approx(absolute, abs=1e-2)


def test_pad_and_crop_equals_padding_and_slicing():
    pixels = np.random.default_rng(0).integers(1, 256, (12, 9, 3)).astype(np.uint8)
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)))
    for top in range(9):
        for left in range(9):
            shifted = pad_and_crop(Image.fromarray(pixels), pad=4, top=top, left=left)
            np.testing.assert_array_equal(np.asarray(shifted), padded[top : top + 12, left : left + 9])


def test_erase_fills_the_rectangle_and_nothing_else():
    pixels = np.zeros((3, 6, 5), np.float32)
    filled = erase(pixels, Rectangle(top=1, left=2, height=3, width=2))
    expected = np.zeros((3, 6, 5), np.float32)
    for channel, value in enumerate((0.485, 0.456, 0.406)):
        for row in (1, 2, 3):
            for column in (2, 3):
                expected[channel, row, column] = value
    np.testing.assert_array_equal(filled, expected)
    assert not pixels.any()
    assert erase(pixels, None) is pixels


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 300), st.integers(2, 300))
def test_rectangles_lie_inside_and_are_smaller_than_the_image(seed, height, width):
    rectangle = draw_rectangle(np.random.default_rng(seed), height=height, width=width)
    if rectangle is not None:
        assert 0 <= rectangle.top <= height - rectangle.height and rectangle.height < height
        assert 0 <= rectangle.left <= width - rectangle.width and rectangle.width < width


def test_an_image_too_small_for_any_rectangle_stays_whole():
    assert draw_rectangle(np.random.default_rng(0), height=1, width=100) is None
    pixels = train_transform(Image.new("RGB", (9, 9)), np.random.default_rng(0), height=1, width=100, erasing=1.0)
    assert (pixels.max(axis=(1, 2)) < 0).all()


def test_drawn_rectangles_have_the_documented_distribution():
    rng = np.random.default_rng(0)
    drawn = [draw_rectangle(rng, height=256, width=128) for _ in range(2000)]
    areas = np.array([rectangle.height * rectangle.width for rectangle in drawn]) / (256 * 128)
    assert areas.mean() == pytest.approx(0.2035, abs=0.01)  # measured on the released code


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 20, 3)).astype(np.uint8))


def transformed(image, seed=0, **changes):
    settings = {"height": 32, "width": 16, **changes}
    return train_transform(image, np.random.default_rng(seed), **settings)


def test_training_without_augmentation_is_the_evaluation_transform(image):
    plain = transformed(image, flip=0.0, pad=0, erasing=0.0)
    np.testing.assert_array_equal(plain, eval_transform(image, height=32, width=16))


def test_a_certain_flip_mirrors(image):
    plain = transformed(image, flip=0.0, pad=0, erasing=0.0)
    np.testing.assert_array_equal(transformed(image, flip=1.0, pad=0, erasing=0.0), plain[:, :, ::-1])


def test_the_same_generator_gives_the_same_image_and_another_a_different_one(image):
    np.testing.assert_array_equal(transformed(image, 3, color_jitter=0.3), transformed(image, 3, color_jitter=0.3))
    assert (transformed(image, 3) != transformed(image, 4)).any()


def test_a_certain_grayscale_leaves_the_luminance_in_all_channels(image):
    plain = {"flip": 0.0, "pad": 0, "erasing": 0.0, "mean": (0, 0, 0), "std": (1, 1, 1)}
    grey = transformed(image, grayscale=1.0, **plain) * 255
    np.testing.assert_array_equal(grey[0], grey[1])
    np.testing.assert_array_equal(grey[0], grey[2])
    red, green, blue = transformed(image, **plain) * 255
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R 601, as Pillow has it
    np.testing.assert_allclose(grey[0], luminance, atol=1)


def test_grayscale_comes_as_often_as_asked_for_and_draws_nothing_where_it_is_off(image):
    plain = {"flip": 0.0, "pad": 0, "erasing": 0.0}
    found = [transformed(image, seed, grayscale=0.3, mean=(0, 0, 0), std=(1, 1, 1), **plain) for seed in range(200)]
    assert 45 <= sum(bool((each[0] == each[1]).all()) for each in found) <= 75
    rng, reference = np.random.default_rng(5), np.random.default_rng(5)
    train_transform(image, rng, height=32, width=16, grayscale=0.0, **plain)
    reference.random(), reference.integers(0, 1, size=2), reference.random()  # flip, shift by nothing, erasing
    assert rng.random() == reference.random()


def test_colour_jitter_changes_colours_within_its_strength():
    grey = Image.new("RGB", (16, 32), (100, 100, 100))
    plain = {"flip": 0.0, "pad": 0, "erasing": 0.0}
    values = [(transformed(grey, seed, color_jitter=0.2, **plain)[0, 0, 0] * 0.229 + 0.485) * 255 for seed in range(40)]
    assert 79 <= min(values) < 90 and 110 < max(values) <= 121
    unchanged = transforms.adjust_colors(grey, brightness=1.0, contrast=1.0, saturation=1.0)
    np.testing.assert_array_equal(np.asarray(unchanged), np.asarray(grey))
