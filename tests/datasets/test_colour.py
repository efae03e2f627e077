"""The colour of six stripes of an image, pixel by pixel."""

import colorsys

import numpy as np
import pytest
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord
from ppreid.datasets.colour import COLOUR_DIM, colour_features, colour_stripes


def stripes_by_loops(pixels):
    """The definition, one pixel after the other."""
    height, width, _ = pixels.shape
    counts = np.zeros((6, 8, 4, 4))
    rows_of_stripes = np.array_split(np.arange(height), 6)
    for stripe, rows in enumerate(rows_of_stripes):
        for row in rows:
            for column in range(width // 4, width - width // 4):
                hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[row, column] / 255))
                counts[stripe, min(7, int(hue * 8)), min(3, int(saturation * 4)), min(3, int(value * 4))] += 1
    shares = np.sqrt(counts.reshape(6, -1) / counts.reshape(6, -1).sum(axis=1, keepdims=True)).ravel()
    return shares / np.linalg.norm(shares)


def test_the_histograms_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    hues, saturations, values = (
        (rng.integers(0, bins, (26, 18)) + 0.5) / bins for bins in (8, 4, 4)
    )  # the middles of the bins
    colours = np.vectorize(colorsys.hsv_to_rgb)(hues, saturations, values)
    pixels = np.round(255 * np.stack(colours, axis=-1)).astype(np.uint8)
    found = colour_stripes(Image.fromarray(pixels))
    assert (found.shape, found.dtype) == ((COLOUR_DIM,), np.float32)
    np.testing.assert_allclose(found, stripes_by_loops(pixels), atol=1e-6)


def test_the_sides_of_a_crop_do_not_count_and_its_height_does():
    image = np.zeros((60, 40, 3), dtype=np.uint8)
    image[:30, 10:30], image[30:, 10:30] = (200, 30, 30), (30, 30, 200)
    other_sides = image.copy()
    other_sides[:, :10] = other_sides[:, 30:] = (30, 200, 30)
    upside_down = image[::-1].copy()
    one, two, three = (colour_stripes(Image.fromarray(each)) for each in (image, other_sides, upside_down))
    assert one @ two == pytest.approx(1)
    assert one @ three == pytest.approx(0)
    assert np.linalg.norm(one) == pytest.approx(1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (5, 2), (2, 6)])
def test_the_smallest_images_have_colours_as_well(size):
    found = colour_stripes(Image.new("RGB", size, (9, 200, 40)))
    assert np.linalg.norm(found) == pytest.approx(1)
    assert np.isfinite(found).all()


def test_many_images_are_the_images_one_by_one_and_a_missing_one_is_named(tmp_path):
    rng = np.random.default_rng(1)
    records = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (12 + number, 8, 3), dtype=np.uint8)).save(path)
        records.append(ImageRecord(str(path), -1, -1))
    found = colour_features(records, num_workers=2)
    for row, record in zip(found, records, strict=True):
        np.testing.assert_array_equal(row, colour_stripes(Image.open(record.path)))
    assert colour_features([]).shape == (0, COLOUR_DIM)
    (tmp_path / "3.png").unlink()
    with pytest.raises(DataError, match=r"3\.png"):
        colour_features(records)
