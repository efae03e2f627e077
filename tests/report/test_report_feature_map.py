import numpy as np
import pytest

from ppreid.report import gather
from ppreid.report.gather import affordable_map, pca_map, tsne_map


@pytest.mark.parametrize("project", [pca_map, tsne_map, affordable_map])
@pytest.mark.parametrize("shape", [(1, 8), (3, 1), (2, 2), (40, 8)])
def test_points_lie_in_the_unit_square(project, shape):
    points = project(np.random.default_rng(0).normal(size=shape).astype(np.float32), seed=1)
    assert points.shape == (shape[0], 2)
    assert points.min() >= -1e-6
    assert points.max() <= 1 + 1e-6
    assert np.ptp(points, axis=0).max() == pytest.approx(1 if shape[0] > 1 else 0, abs=1e-5)


def test_pca_finds_the_plane_that_the_points_lie_in():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [5, 1]
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    points = pca_map(plane @ rotation, seed=1)
    expected = np.linalg.norm(plane[:, None] - plane, axis=2)
    found = np.linalg.norm(points[:, None] - points, axis=2)
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-4)


def test_tsne_keeps_neighbours_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.eye(3), 15, axis=0) * 10 + rng.normal(0, 0.1, (45, 3))
    points = tsne_map(groups.astype(np.float32), seed=1)
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 9 * np.eye(45)
    assert (distances.argmin(axis=1) // 15 == np.arange(45) // 15).all()


def test_what_is_affordable_hangs_on_the_number_of_images(monkeypatch):
    features = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    monkeypatch.setattr(gather, "TSNE_IMAGES", 12)
    assert (affordable_map(features, seed=1) == tsne_map(features, seed=1)).all()
    monkeypatch.setattr(gather, "TSNE_IMAGES", 11)
    assert (affordable_map(features, seed=1) == pca_map(features, seed=1)).all()
    assert not np.allclose(tsne_map(features, seed=1), pca_map(features, seed=1), atol=0.05)
