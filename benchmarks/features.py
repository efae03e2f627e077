"""Features for benchmarks: what a half-trained re-identification network gives, written to disk block by block."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

IMAGES_PER_IDENTITY = 17
NUM_CAMERAS = 6
ROWS_PER_BLOCK = 8192
LATENT = 64  # directions along which features vary
# pids (N,), camids (N,), and what gives the features of some rows along those directions (R, LATENT)
Drawn = tuple[np.ndarray, np.ndarray, Callable[[slice], np.ndarray]]


def write_features(
    path: Path, num_images: int, dim: int, *, dtype: str = "float32", kind: str = "crowd", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Write (num_images, dim) unit rows to a .npy file after checking that the disk can hold them.

    The variation lies in 64 directions, as that of trained networks does, plus noise in all directions.

    Args:
        path: file to write.
        num_images: N.
        dim: D.
        dtype: "float32" or "float16".
        kind: of `KINDS`.
        seed: of everything that is drawn.

    Returns:
        pids (N,) and camids (N,) int64.

    Raises:
        SystemExit: the disk has too little space.
    """
    needed = num_images * dim * np.dtype(dtype).itemsize
    free = shutil.disk_usage(path.parent).free
    if free < 1.05 * needed:
        raise SystemExit(f"{path.parent} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed; use --folder")
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((LATENT, dim), dtype=np.float32) / np.sqrt(dim)
    pids, camids, along = KINDS[kind](rng, num_images)
    features = np.lib.format.open_memmap(path, "w+", dtype, (num_images, dim))
    for start in range(0, num_images, ROWS_PER_BLOCK):
        rows = slice(start, min(start + ROWS_PER_BLOCK, num_images))
        noise = 2.0 / np.sqrt(dim)
        x = along(rows) @ mixing
        x += noise * rng.standard_normal((rows.stop - rows.start, dim), dtype=np.float32)
        features[rows] = x / np.linalg.norm(x, axis=1, keepdims=True)
    features.flush()
    return pids, camids


def _crowd(rng: np.random.Generator, num_images: int) -> Drawn:
    """Identities overlap: they come in families that look alike, every camera shifts its images, and in three of a
    hundred images most of the person is hidden.
    """
    num_ids = max(1, num_images // IMAGES_PER_IDENTITY)
    centres, cameras = _identities(rng, num_ids)
    pids = rng.integers(0, num_ids, num_images)
    camids = rng.integers(0, NUM_CAMERAS, num_images)
    hidden = rng.random(num_images) < 0.03

    def along(rows: slice) -> np.ndarray:
        m = rows.stop - rows.start
        visible = np.where(hidden[rows], 0.3, 1.0).astype(np.float32)[:, None]
        spread = 0.5 + 0.5 * rng.random((m, 1), dtype=np.float32)
        z = visible * centres[pids[rows]] + cameras[camids[rows]]
        return z + spread * rng.standard_normal((m, LATENT), dtype=np.float32)

    return pids, camids, along


def _videos(rng: np.random.Generator, num_images: int) -> Drawn:
    """As a crowd, from videos: near-duplicates in tracks of 12 images on average, people who are seen once or a
    thousand times, who vary a little or much, and five images in a hundred that show nobody in particular.
    """
    num_ids = max(1, num_images // 40)
    centres, cameras = _identities(rng, num_ids)
    spread = rng.uniform(0.3, 1.2, (num_ids, 1)).astype(np.float32)
    seen = rng.pareto(1.5, num_ids) + 0.2
    track = np.cumsum(rng.random(num_images) < 1 / 12)
    pid_of = rng.choice(num_ids, track[-1] + 1, p=seen / seen.sum())
    camera_of = rng.integers(0, NUM_CAMERAS, track[-1] + 1)
    looks = 0.7 * spread[pid_of] * rng.standard_normal((len(pid_of), LATENT), dtype=np.float32)
    track = track[rng.permutation(num_images)]
    people, camids, nobody = pid_of[track], camera_of[track], rng.random(num_images) < 0.05

    def along(rows: slice) -> np.ndarray:
        z = centres[people[rows]] + looks[track[rows]]
        z += 0.25 * spread[people[rows]] * rng.standard_normal(z.shape, dtype=np.float32)
        alone = 1.2 * rng.standard_normal(z.shape, dtype=np.float32)
        return np.where(nobody[rows, None], alone, z) + cameras[camids[rows]]

    return np.where(nobody, num_ids + np.arange(num_images), people), camids, along


def _identities(rng: np.random.Generator, num_ids: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (num_ids, LATENT) that come in families, and what cameras add (NUM_CAMERAS, LATENT)."""
    families = rng.standard_normal((max(1, num_ids // 4), LATENT), dtype=np.float32)
    centres = 0.7 * families[rng.integers(0, len(families), num_ids)]
    centres += 0.9 * rng.standard_normal((num_ids, LATENT), dtype=np.float32)
    return centres, 0.4 * rng.standard_normal((NUM_CAMERAS, LATENT), dtype=np.float32)


KINDS = {"crowd": _crowd, "videos": _videos}
