"""A data set in numbers, compared with the published ones, and a digest of its images without reading all of them."""

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ppreid.base.records import ImageRecord, ReIDSplit


class PartCounts(NamedTuple):
    """Size of one part of a data set.

    Attributes:
        identities: different identities; unknown ones and the distractors of a gallery are not counted.
        images: images, distractors included, junk excluded.
        cameras: different cameras.
    """

    identities: int
    images: int
    cameras: int


class PublishedCounts(NamedTuple):
    """Published sizes of the three parts of a data set."""

    train: PartCounts
    query: PartCounts
    gallery: PartCounts


class SplitSummary(NamedTuple):
    """What `summarise_split` found.

    Attributes:
        table: text for the terminal, one line per part.
        warnings: one sentence per part that differs from the published numbers.
    """

    table: str
    warnings: tuple[str, ...]


def count_part(records: Sequence[ImageRecord], *, zero_is_distractor: bool = False) -> PartCounts:
    """Count identities, images and cameras of one part.

    Args:
        records: the images.
        zero_is_distractor: identity 0 is not a person, as in a gallery.

    Returns:
        The three numbers.
    """
    first_pid = 1 if zero_is_distractor else 0
    return PartCounts(
        identities=len({record.pid for record in records if record.pid >= first_pid}),
        images=len(records),
        cameras=len({record.camid for record in records if record.camid >= 0}),
    )


def summarise_split(split: ReIDSplit, published: PublishedCounts | None = None) -> SplitSummary:
    """Table of the numbers found, beside the published ones where there are any.

    The identities of the training part are counted for this table only; training never reads them.

    Args:
        split: the data set as it was read.
        published: the numbers it should have; None for data that nobody published.

    Returns:
        The table and a warning for each part that differs.
    """
    lines = ["part     " + "".join(f"{name:>19}" for name in PartCounts._fields)]
    warnings = []
    for part in ReIDSplit._fields:
        found = count_part(getattr(split, part), zero_is_distractor=part == "gallery")
        expected = getattr(published, part) if published else None
        if not (found.images or expected):
            continue
        cells = [f"{n:,}" for n in found]
        if expected:
            cells = [f"{cell} (of {n:,})" for cell, n in zip(cells, expected, strict=True)]
        lines.append(f"{part:9}" + "".join(f"{cell:>19}" for cell in cells))
        if expected and found != expected:
            warnings.append(
                f"the {part} part has {_in_words(found)}, but {_in_words(expected)} were published; "
                "results will not compare with published ones"
            )
    distractors = sum(record.pid == 0 for record in split.gallery)
    if distractors:
        lines.append(f"the gallery includes {distractors:,} distractors (identity 0)")
    return SplitSummary("\n".join(lines), tuple(warnings))


def _in_words(counts: PartCounts) -> str:
    return f"{counts.identities:,} identities, {counts.images:,} images and {counts.cameras:,} cameras"


ENDS = 4096  # bytes that are read at the start and at the end of a file; most crops are not larger than both together
_FILES_AT_A_TIME = 4096


def contents_digest(records: Sequence[ImageRecord], *, identities: bool = False, num_workers: int = 4) -> str:
    """A digest of a list of images: it changes when an image is removed, added, moved to another place or replaced.

    It covers the number and order of the images and, of each, the file name without its folder (a data set may move),
    the camera, the size of the file, and its first and last 4,096 bytes. A file that cannot be read counts as one of
    its own kind; who reads the image says why. So at most 8 KB of a file are read, however large it is.

    Args:
        records: the images; the order counts.
        identities: cover the identities as well, where results depend on them (query and gallery).
        num_workers: threads; 0 means one.

    Returns:
        64 hexadecimal digits.

    Note:
        A change in the middle of a file of more than 8 KB that keeps its size is not seen. For JPEG and PNG, whose
        pixels are packed, that takes intent: another picture has another size.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        for start in range(0, len(records), _FILES_AT_A_TIME):
            part = records[start : start + _FILES_AT_A_TIME]
            for record, file in zip(part, pool.map(_file_facts, (record.path for record in part)), strict=True):
                known = f"{record.camid} {record.pid}" if identities else f"{record.camid}"
                # no file name holds a NUL byte or a slash, so that two lists of images never give the same bytes
                digest.update(b"%s\0%s\0%s/" % (os.fsencode(os.path.basename(record.path)), known.encode(), file))
    return digest.hexdigest()


def _file_facts(path: str) -> bytes:
    """Size and digest of both ends of a file, in ASCII."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            return b"unreadable"
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            ends = hashlib.blake2b(file.read(ENDS), digest_size=16)
            if size > ENDS:
                file.seek(max(ENDS, size - ENDS))
                ends.update(file.read(ENDS))
    except (OSError, ValueError):  # ValueError: a name with a NUL byte
        return b"unreadable"
    return b"%d %s" % (size, ends.hexdigest().encode())
