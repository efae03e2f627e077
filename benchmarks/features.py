"""Features for benchmarks: what a half-trained re-identification network gives, written to disk block by block."""

import shutil
from pathlib import Path

import numpy as np

IMAGES_PER_IDENTITY = 17
NUM_CAMERAS = 6
ROWS_PER_BLOCK = 8192


def write_features(
    path: Path, num_images: int, dim: int, *, dtype: str = "float32", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Write (num_images, dim) unit rows to a .npy file after checking that the disk can hold them.

    Identities overlap: they come in families that look alike, every camera shifts its images, and in three of a hundred
    images most of the person is hidden. The variation lies in 64 directions, as that of trained networks does, plus
    noise in all directions.

    Args:
        path: file to write.
        num_images: N.
        dim: D.
        dtype: "float32" or "float16".
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
    latent = 64
    mixing = rng.standard_normal((latent, dim), dtype=np.float32) / np.sqrt(dim)
    num_ids = max(1, num_images // IMAGES_PER_IDENTITY)
    families = rng.standard_normal((max(1, num_ids // 4), latent), dtype=np.float32)
    centres = 0.7 * families[rng.integers(0, len(families), num_ids)]
    centres += 0.9 * rng.standard_normal((num_ids, latent), dtype=np.float32)
    cameras = 0.4 * rng.standard_normal((NUM_CAMERAS, latent), dtype=np.float32)
    pids = rng.integers(0, num_ids, num_images)
    camids = rng.integers(0, NUM_CAMERAS, num_images)
    hidden = rng.random(num_images) < 0.03
    features = np.lib.format.open_memmap(path, "w+", dtype, (num_images, dim))
    for start in range(0, num_images, ROWS_PER_BLOCK):
        rows = slice(start, min(start + ROWS_PER_BLOCK, num_images))
        m = rows.stop - rows.start
        visible = np.where(hidden[rows], 0.3, 1.0).astype(np.float32)[:, None]
        spread = 0.5 + 0.5 * rng.random((m, 1), dtype=np.float32)
        z = visible * centres[pids[rows]] + cameras[camids[rows]]
        z += spread * rng.standard_normal((m, latent), dtype=np.float32)
        x = z @ mixing + 2.0 / np.sqrt(dim) * rng.standard_normal((m, dim), dtype=np.float32)
        features[rows] = x / np.linalg.norm(x, axis=1, keepdims=True)
    features.flush()
    return pids, camids
