"""Count identities, images and cameras of a data set and compare them with the published numbers."""

from collections.abc import Sequence
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
