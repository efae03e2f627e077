"""The same image twice: by content, within a part of the data set and across parts; and the same file name twice."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ppreid.base.records import ReIDSplit
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
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()
