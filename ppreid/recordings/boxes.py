"""Where people are in the frames of a recording, as other programs wrote it: MOTChallenge text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import DataError
from ppreid.disk.text import read_text_lines

_PEDESTRIAN = 1  # of the classes of MOTChallenge; results of trackers have -1 in this column
_LEAST_COLUMNS = 6
_CONFIDENCE, _CLASS = 6, 7


class FrameBoxes(NamedTuple):
    """The boxes of one frame.

    Attributes:
        boxes: (n, 5) float64: left, top, width and height in pixels, score.
        ids: (n,) int64: identities that the file gives, -1 unknown.
    """

    boxes: np.ndarray
    ids: np.ndarray


class BoxesFile(NamedTuple):
    """What a file of boxes says.

    Attributes:
        frames: 0-based number of a frame -> its boxes.
        has_ids: whether any box has an identity.
        skipped: reason -> number of lines that were left out.
    """

    frames: Mapping[int, FrameBoxes]
    has_ids: bool
    skipped: Mapping[str, int]


def read_boxes(path: Path, *, min_score: float | None = None) -> BoxesFile:
    """Read MOTChallenge text: frame (from 1), id, left, top, width, height, and perhaps confidence, class, visibility.

    Args:
        path: the file; values are separated by commas or blanks.
        min_score: least confidence; None takes all. A confidence of -1 is unknown and counts as 1.

    Returns:
        The boxes. Lines that mean no person are left out and counted: confidence 0 (MOTChallenge: to be ignored) or too
        low, another class, a box without area, and an identity that a frame has already.

    Raises:
        DataError: a line cannot be read; with its number. Or there is none.
    """
    found: dict[int, list[tuple[float, ...]]] = {}
    skipped: dict[str, int] = {}
    for number, line in read_text_lines(path):
        row = _numbers(line, f"{path}:{number}")
        reason = _why_not(row, found.get(int(row[0]) - 1, []), min_score)
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
        else:
            found.setdefault(int(row[0]) - 1, []).append(row)
    if not found:
        raise DataError(f"{path} holds no boxes of people; its lines would be: frame, id, left, top, width, height")
    frames = {}
    for frame, rows in found.items():
        table = np.array([(*row[2:6], _score(row)) for row in rows])
        frames[frame] = FrameBoxes(table, np.array([int(row[1]) for row in rows], np.int64).clip(-1))
    return BoxesFile(frames, any((each.ids >= 0).any() for each in frames.values()), skipped)


def _numbers(line: str, place: str) -> tuple[float, ...]:
    cells = line.replace(",", " ").split()
    try:
        row = tuple(map(float, cells))
    except ValueError:
        raise DataError(f"{place}: {line[:60]!r} is no line of numbers: frame, id, left, top, width, height") from None
    if len(row) < _LEAST_COLUMNS or not np.isfinite(row).all():
        raise DataError(f"{place}: {line[:60]!r} should be frame, id, left, top, width, height and so on")
    if row[0] < 1 or row[0] != int(row[0]):
        raise DataError(f"{place}: the frame is {cells[0]}; frames are whole numbers from 1 on")
    if abs(row[1]) > 1 << 53:
        raise DataError(f"{place}: the identity {cells[1][:20]} is no number that anything counts to")
    return row


def _score(row: tuple[float, ...]) -> float:
    return row[_CONFIDENCE] if len(row) > _CONFIDENCE and row[_CONFIDENCE] >= 0 else 1.0


def _why_not(row: tuple[float, ...], before: list[tuple[float, ...]], min_score: float | None) -> str:
    """Why a line is left out; nothing for one that counts."""
    if len(row) > _CONFIDENCE and row[_CONFIDENCE] == 0:
        return "to be ignored"
    if len(row) > _CLASS and row[_CLASS] > 0 and row[_CLASS] != _PEDESTRIAN:
        return "another class"
    if min_score is not None and _score(row) < min_score:
        return "low score"
    if min(row[4], row[5]) <= 0:
        return "no area"
    if row[1] >= 0 and any(other[1] == row[1] for other in before):
        return "identity twice in a frame"
    return ""


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area that boxes have in common.

    Args:
        a: (n, 4 or more): left, top, width, height.
        b: (m, 4 or more).

    Returns:
        (n, m) areas.
    """
    upper = np.minimum(a[:, None, :2] + a[:, None, 2:4], b[None, :, :2] + b[None, :, 2:4])  # (n, m, 2)
    lower = np.maximum(a[:, None, :2], b[None, :, :2])
    return (upper - lower).clip(0).prod(axis=2)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4 or more) and (m, 4 or more): (n, m), 0 for boxes without area."""
    common = overlaps(a, b)
    union = a[:, 2:4].prod(axis=1)[:, None] + b[:, 2:4].prod(axis=1)[None] - common
    return common / np.maximum(union, 1e-9)


def without_doubles(boxes: np.ndarray, *, max_iou: float) -> np.ndarray:
    """Of boxes that lie on each other the one with the highest score (non-maximum suppression).

    Args:
        boxes: (n, 5): left, top, width, height, score.
        max_iou: up to which two boxes are of two people.

    Returns:
        (m, 5), the highest score first.
    """
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    iou, kept = box_iou(boxes, boxes), np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if kept[row]:
            kept[row + 1 :] &= iou[row, row + 1 :] <= max_iou
    return boxes[kept]
