import numpy as np
import pytest

from ppreid.neighbours import ranking
from ppreid.neighbours.search import camera_neighbours, nearest_neighbours


@pytest.mark.parametrize("rows_per_block", [7, 50, 150, 4096])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equals_the_search_on_the_cpu_for_any_block_size(rows_per_block, dtype, clustered_features, monkeypatch):
    monkeypatch.setattr(ranking, "ROWS_PER_BLOCK", rows_per_block)
    features = clustered_features(150, dim=24)[0].astype(dtype)
    expected_scores, expected = nearest_neighbours(features, 9, backend="cpu")
    scores, indices = nearest_neighbours(features, 9, backend="paddle")
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-6)
    assert indices.dtype == np.int32


@pytest.mark.parametrize("rows_per_block", [7, 4096])
def test_cameras_equal_the_search_on_the_cpu(rows_per_block, clustered_features, monkeypatch):
    monkeypatch.setattr(ranking, "ROWS_PER_BLOCK", rows_per_block)
    features, _ = clustered_features(60, dim=24)
    camids = np.array([0] * 3 + [1] * 27 + [2] * 30)  # camera 0 has fewer images than asked for
    expected = camera_neighbours(features, camids, k_intra=6, k_inter=11, backend="cpu")
    found = camera_neighbours(features, camids, k_intra=6, k_inter=11, backend="paddle")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (found[0][:3, 3:] == -1).all()


def test_an_image_is_its_own_first_neighbour_among_duplicates():
    features = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    scores, indices = nearest_neighbours(features, 3, backend="paddle")
    assert indices[:, 0].tolist() == list(range(6))
    assert [sorted(row) for row in indices.tolist()] == [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3
    np.testing.assert_array_equal(scores, np.ones((6, 3), np.float32))
