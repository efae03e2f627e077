"""Whether the images are what training needs: crops of people, and not the same moment again and again."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.datasets.image_file import load_image
from ppreid.doctor.findings import Finding, ok, warning

THUMBNAIL = (16, 32)  # width and height in pixels; with noise and compression gone, the same moment looks the same
SAME_MOMENT = 0.9  # correlation of two thumbnails; every frame of a video: 60 % of images, Market-1501: none
TOO_MANY = 0.25  # share of images with such a neighbour
SAMPLE, RUN = 4096, 64  # images that are compared, and how many of them follow each other in the data set

_LARGER, _OTHER_SHAPE = 8.0, 1.5  # times the usual area and the usual width / height
_FRAME_WIDTH = 640
_FRAME_SHAPES = (16 / 9, 4 / 3, 5 / 4, 3 / 2, 11 / 9)  # of video: HD, VGA, SXGA, cameras, CIF


def whole_frames(sizes: np.ndarray) -> np.ndarray:
    """Rows of the images that look like frames of a video and not like crops of it.

    Args:
        sizes: (N, 2) width and height in pixels; 0 for images that cannot be read.

    Returns:
        Ascending rows of images that have the shape of a frame, or are far larger than the usual image and of another
        shape, as one frame among many crops is.
    """
    rows = np.flatnonzero((sizes > 0).all(axis=1))
    if not len(rows):
        return rows
    width, height = sizes[rows].astype(np.float64).T
    area, shape = width * height, width / height
    has_frame_shape = np.isclose(shape[:, None], _FRAME_SHAPES, rtol=0.01).any(axis=1)
    ratio = shape / np.median(shape)
    stands_out = (area > _LARGER * np.median(area)) & (np.maximum(ratio, 1 / ratio) > _OTHER_SHAPE)
    return rows[(has_frame_shape & (width >= _FRAME_WIDTH)) | stands_out]


def check_frames(sizes: np.ndarray, paths: Sequence[str]) -> Finding:
    """Judge what `whole_frames` found.

    Args:
        sizes: (N, 2) width and height in pixels; 0 for images that cannot be read.
        paths: of the images, (N,).
    """
    rows = whole_frames(sizes)
    if not len(rows):
        return ok("crops", "no image looks like a whole frame")
    text = f"{len(rows):,} of {len(sizes):,} images look like whole frames, not like crops of one person each"
    advice = "cut the people out with a detector first, or remove these files"
    return warning("crops", text, advice, (f"{paths[row]} ({sizes[row, 0]} x {sizes[row, 1]})" for row in rows))


def sampled_rows(num_images: int) -> np.ndarray:
    """Rows to compare with each other: all, or runs of images that follow each other, spread over the data set.

    Frames of one passage follow each other in the order of names, so that a run holds what repeats itself.
    """
    if num_images <= SAMPLE:
        return np.arange(num_images)
    starts = np.linspace(0, num_images - RUN, SAMPLE // RUN).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(RUN))


def thumbnail(path: str) -> np.ndarray:
    """Grey pixels of a small copy of an image, (512,) float32 of mean 0 and norm 1; zeros where there is no pattern."""
    try:
        grey = load_image(path).convert("L").resize(THUMBNAIL, Image.Resampling.BOX)
    except DataError:
        return np.zeros(THUMBNAIL[0] * THUMBNAIL[1], np.float32)
    pixels = np.asarray(grey, np.float32).ravel()
    pixels = pixels - pixels.mean()
    norm = np.linalg.norm(pixels)
    return pixels / norm if norm > 0 else np.zeros_like(pixels)


def check_near_duplicates(thumbnails: Iterable[np.ndarray], paths: Sequence[str], *, total: int) -> Finding:
    """Whether many images show the same moment as another one.

    Args:
        thumbnails: of each image that is compared, from `thumbnail`.
        paths: of the same images, (n,).
        total: images of the part of the data set that they stand for.

    Returns:
        "ok", or a warning with the images and their nearest one.
    """
    rows = np.stack(list(thumbnails)) if paths else np.zeros((0, 1), np.float32)  # (n, 512)
    if len(rows) < 2:
        return ok("near-duplicates", "there are not two training images to compare")
    correlation = rows @ rows.T  # (n, n)
    np.fill_diagonal(correlation, -1)
    nearest = correlation.argmax(axis=1).tolist()
    same = np.flatnonzero(correlation[np.arange(len(rows)), nearest] > SAME_MOMENT)
    sample = "" if len(rows) == total else f" (a sample of {total:,})"
    share = f"{100 * len(same) / len(rows):.0f} % of {len(rows):,} training images{sample}"
    text = f"{share} are almost equal to another one"
    if len(same) <= TOO_MANY * len(rows):
        return ok("near-duplicates", text)
    advice = "keep one or two frames a second of each passage, or clusters become passages instead of people"
    return warning("near-duplicates", text, advice, (f"{paths[row]} ~ {paths[nearest[row]]}" for row in same.tolist()))
