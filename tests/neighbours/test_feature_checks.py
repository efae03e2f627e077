"""What the clustering refuses, and what it takes as it is."""

import warnings

import numpy as np
import pytest

from ppreid.base.errors import DataError, PpreidWarning, WeightsError
from ppreid.neighbours import checks
from ppreid.neighbours.checks import (
    MIN_COLLAPSED,
    ROWS_PER_BLOCK,
    UNIT_NORM_TOLERANCE,
    at_most_all,
    check_features,
    check_not_collapsed,
    check_ranking,
)


def rows_with(value, places, n=20):
    features = np.eye(n, dtype=np.float32)
    features[places] = value
    return features


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (rows_with(np.nan, [3, 11]), r"2 of the rows 0 to 19 hold NaN or infinity: 3, 11 .*network's loss"),
        (rows_with(np.inf, [0]), "1 of the rows 0 to 19 hold NaN or infinity: 0 "),
        (rows_with(0.0, list(range(7))), r"7 of the rows 0 to 19 are zero: 0, 1, 2, 3, 4, \.\.\."),
        (3 * np.eye(4, dtype=np.float32), r"4 of the rows.*not of unit norm.*norm of the first: 3\).*divide each row"),
        (np.ones(5, np.float32), r"shape \(5,\); expected \(images, dimensions\)"),
        (np.ones((0, 8), np.float32), r"shape \(0, 8\)"),
        (np.ones((2, 2, 2), np.float32), r"shape \(2, 2, 2\)"),
        (np.eye(3, dtype=np.int64), "features are int64"),
        ([[1.0, 0.0]], "features are a list; pass a numpy array"),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(DataError, match=message):
        check_features(features)


def test_rows_of_later_blocks_are_numbered_from_the_start(monkeypatch):
    monkeypatch.setattr(checks, "ROWS_PER_BLOCK", 8)
    with pytest.raises(DataError, match=r"1 of the rows 16 to 19 hold NaN or infinity: 17 "):
        check_features(rows_with(np.nan, [17]))


def test_float32_and_float16_are_not_copied(tmp_path):
    for dtype in (np.float32, np.float16):
        features = np.eye(6, dtype=dtype)
        assert np.shares_memory(check_features(features), features)
        mapped = np.memmap(tmp_path / f"{features.dtype}.bin", dtype, "w+", shape=(6, 6))
        mapped[:] = features
        checked = check_features(mapped)
        assert type(checked) is np.ndarray and np.shares_memory(checked, mapped)


def test_float64_becomes_float32():
    assert check_features(np.eye(3)).dtype == np.float32


def test_unit_rows_may_be_rounded_to_float16():
    features = np.random.default_rng(0).standard_normal((50, 2048))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    check_features(features.astype(np.float16))


def collapsed(n, dim=16):
    row = np.random.default_rng(0).standard_normal(dim)
    return np.tile((row / np.linalg.norm(row)).astype(np.float32), (n, 1))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("noise", [0, 1e-6])
def test_features_that_are_all_the_same_are_refused(kind, noise):
    rows = collapsed(300) + noise * np.random.default_rng(1).uniform(-1, 1, (300, 16)).astype(np.float32)
    with pytest.raises(
        WeightsError, match=r"all 300 features are the same to 1e-05: .*weights are damaged or do not fit"
    ):
        check_not_collapsed(rows.astype(np.float32) if noise else rows.astype(kind))
    with pytest.raises(DataError, match="all 300 features"):
        check_not_collapsed(rows, error=DataError)


def test_a_few_copies_and_any_difference_are_accepted():
    for n in range(MIN_COLLAPSED):
        check_not_collapsed(collapsed(n))
    for row in (0, 1, ROWS_PER_BLOCK - 1, ROWS_PER_BLOCK, ROWS_PER_BLOCK + 6):
        rows = collapsed(ROWS_PER_BLOCK + 7)
        rows[row, 3] += 1e-4
        check_not_collapsed(rows)
    with pytest.raises(WeightsError):
        check_not_collapsed(collapsed(ROWS_PER_BLOCK + 7))
    with pytest.raises(WeightsError):
        check_not_collapsed(collapsed(2), min_rows=2)


def test_how_far_from_one_a_norm_may_be():
    for norm in (1 - UNIT_NORM_TOLERANCE / 2, 1 + UNIT_NORM_TOLERANCE / 2):
        check_features(norm * np.eye(4, dtype=np.float32))
    for norm in (1 - 2 * UNIT_NORM_TOLERANCE, 1 + 2 * UNIT_NORM_TOLERANCE):
        with pytest.raises(DataError, match="4 of the rows 0 to 3 are not of unit norm"):
            check_features(norm * np.eye(4, dtype=np.float32))


def test_as_many_neighbours_as_images_are_no_reason_for_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert at_most_all("k1", 5, 5) == 5
    with pytest.warns(PpreidWarning, match="k1 is 6 but there are only 5 images; using 5"):
        assert at_most_all("k1", 6, 5) == 5
    with pytest.raises(DataError, match="k1 is 0; expected a positive integer"):
        at_most_all("k1", 0, 5)


@pytest.mark.parametrize("wrong", [-2, 3])
def test_neighbours_are_images_or_empty_places(wrong):
    indices = np.array([[0, 1], [1, -1], [2, 0]])
    np.testing.assert_array_equal(check_ranking(indices, 3, 2), indices)
    indices[1, 1] = wrong
    with pytest.raises(DataError, match=r"neighbour indices lie in .*; expected image numbers below 3, or -1"):
        check_ranking(indices, 3, 2)
