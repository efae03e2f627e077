"""Augmentation of maps: the draws of an image, rounded to whole positions."""

import numpy as np
import pytest

from ppreid.datasets.frozen_maps import shifted, train_maps
from ppreid.datasets.transforms import draw_rectangle

HEIGHT, WIDTH = 128, 64  # of the image; a position of the maps is 16 pixels


def pair(seed=0, size=(2, 8, 4)):
    rng = np.random.default_rng(seed)
    plain, mirrored = (rng.uniform(0.1, 1.0, size).astype(np.float32) for _ in range(2))
    return plain, mirrored


def augmented(maps, seed, **settings):
    settings = {"height": HEIGHT, "width": WIDTH, "flip": 0.0, "pad": 0, "erasing": 0.0, **settings}
    return train_maps(maps, np.random.default_rng(seed), **settings)


def by_hand(maps, rows, columns):
    _, height, width = maps.shape
    moved = np.zeros_like(maps)
    for y in range(height):
        for x in range(width):
            if 0 <= y + rows < height and 0 <= x + columns < width:
                moved[:, y, x] = maps[:, y + rows, x + columns]
    return moved


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 0), (-2, 1), (3, -3), (9, 0), (0, -4)])
def test_a_shift_position_by_position(rows, columns):
    maps = pair()[0]
    np.testing.assert_array_equal(shifted(maps, rows=rows, columns=columns), by_hand(maps, rows, columns))


def test_nothing_is_changed_where_nothing_is_asked_for():
    maps = pair()
    np.testing.assert_array_equal(augmented(maps, 0), maps[0])
    np.testing.assert_array_equal(augmented(maps, 0, flip=1.0), maps[1])
    shares = [np.array_equal(augmented(maps, seed, flip=0.25), maps[1]) for seed in range(400)]
    assert 70 < sum(shares) < 130


def test_shifts_and_rectangles_are_those_that_an_image_would_have():
    changed = 0
    for seed in range(100):
        maps, rng = pair(seed), np.random.default_rng(seed)
        mirrored = rng.random() < 0.5
        top, left = (int(rng.integers(0, 2 * 20, endpoint=True)) - 20 for _ in range(2))  # pixels
        wanted = by_hand(maps[int(mirrored)], round(top / 16), round(left / 16))
        if rng.random() < 0.5:
            box = draw_rectangle(rng, height=HEIGHT, width=WIDTH)
            bottom, right = box.top + box.height, box.left + box.width
            if any(edge % 16 == 8 for edge in (box.top, bottom, box.left, right)):
                continue  # exactly between two positions either would do
            for y in range(8):
                for x in range(4):  # a position is erased where its middle lies in the rectangle
                    if box.top <= 16 * y + 8 < bottom and box.left <= 16 * x + 8 < right:
                        wanted[:, y, x] = 0
                        changed += 1
        np.testing.assert_array_equal(augmented(maps, seed, flip=0.5, pad=20, erasing=0.5), wanted, err_msg=str(seed))
    assert changed > 20


def test_maps_of_a_file_are_never_written_to():
    maps = pair()
    for each in maps:
        each.setflags(write=False)
    erased = [augmented(maps, seed, erasing=1.0) for seed in range(5)]
    assert min(each.min() for each in erased) == 0 and maps[0].min() > 0


def test_maps_of_a_single_position():
    maps = pair(size=(3, 1, 1))
    for seed in range(20):
        found = augmented(maps, seed, pad=200, erasing=1.0)
        assert found.shape == (3, 1, 1) and (found.any() == 0 or np.array_equal(found, maps[0]))
