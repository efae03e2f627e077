"""Images that are too much alike, or no crops of people: equal files, equal names, the same moment again and again."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.base.records import ReIDSplit
from ppreid.datasets.image_file import load_image
from ppreid.doctor.findings import Finding, ok, problem, warning
from ppreid.doctor.images import in_threads

_DIGEST_BYTES = 16
_BLOCK = 1 << 20


def equal_in_size(num_bytes: np.ndarray) -> np.ndarray:
    """Rows of the files that are worth hashing: those whose size occurs more than once.

    Args:
        num_bytes: (N,) sizes of files; -1 for those that cannot be read.

    Returns:
        Ascending rows, (n,).
    """
    _, inverse, counts = np.unique(num_bytes, return_inverse=True, return_counts=True)
    return np.flatnonzero((counts[inverse] > 1) & (num_bytes >= 0))


def content_digests(paths: Iterable[str], *, num_workers: int) -> Iterator[str]:
    """A digest of the content of every file; empty for a file that can no longer be read."""
    return in_threads(_digest, paths, num_workers=num_workers)


def equal_groups(rows: np.ndarray, digests: Iterable[str]) -> list[np.ndarray]:
    """Groups of rows with equal digests.

    Args:
        rows: (n,) rows of the files.
        digests: of each, in the same order; a row whose digest is empty belongs to no group.

    Returns:
        The rows of each group of two or more, ascending.
    """
    values = np.fromiter((digest.encode() for digest in digests), dtype=f"S{2 * _DIGEST_BYTES}", count=len(rows))
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    groups = np.split(rows[order], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
    is_read = np.split(ordered != b"", np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
    return [group for group, read in zip(groups, is_read, strict=True) if len(group) > 1 and read[0]]


def check_duplicates(split: ReIDSplit, groups: Sequence[np.ndarray]) -> list[Finding]:
    """Judge groups of files with the same content.

    Args:
        split: the data set.
        groups: rows of equal images, counted through train, query and gallery.

    Returns:
        A problem for training images that are test images as well; warnings for copies within the training part,
        within the test parts, and for copies that are said to be different people; "ok" where there is none.
    """
    records, num_train = [*split.train, *split.query, *split.gallery], len(split.train)
    leaks, in_train, in_test, contradictions = [], [], [], []
    for group in groups:
        line = " = ".join(records[row].path for row in group)
        train, test = group[group < num_train], group[group >= num_train]
        if len(train) and len(test):
            leaks.append(line)
        if len(train) > 1:
            in_train.append(line)
        if len(test) > 1:
            in_test.append(line)
        # identities of training and test may be numbered independently, so they are compared on each side only
        if any(len({records[row].pid for row in side}) > 1 for side in (train, test)):
            contradictions.append(line)
    findings = []
    if leaks:
        text = f"{len(leaks):,} images are in the training part and in query or gallery"
        advice = "metrics on this data set are worthless: remove them from the training part"
        findings.append(problem("duplicates", text, advice, leaks))
    once = "keep one of each"
    for lines, what, advice in (
        (contradictions, "images occur more than once, as different identities", "find out who is on them"),
        (in_train, "images occur more than once in the training part", f"{once}: they count twice in every cluster"),
        (in_test, "images occur more than once in query and gallery", f"{once}: they are found too easily"),
    ):
        if lines:
            findings.append(warning("duplicates", f"{len(lines):,} {what}", advice, lines))
    return findings or [ok("duplicates", f"no two of {len(records):,} images have the same content")]


def check_names(split: ReIDSplit) -> Finding:
    """Whether a file name, without its folder, occurs more than once in a data set."""
    paths = sorted({record.path for part in split for record in part}, key=lambda path: (_name(path), path))
    doubles = [f"{a} and {b}" for a, b in pairwise(paths) if _name(a) == _name(b)]
    if doubles:
        text = f"{len(doubles):,} file names occur more than once"
        advice = "harmless for ppreid, which goes by position; tools that go by name confuse them"
        return warning("names", text, advice, doubles)
    return ok("names", "every file name occurs once")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _digest(path: str) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return ""
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


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
