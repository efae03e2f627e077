"""Boxes of one frame after the other to tracks: who in this frame is who in the frame before.

Tracks are to hold one person each, since a network learns from them that their images belong together. A track that
ends too early costs little: the person has two. So where it is not clear who is who, tracks end.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ppreid.recordings.boxes import box_iou

_STRIPES = ((0.12, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9))  # of a box, from above: head, chest, hips, legs
_MIDDLE = (0.3, 0.7)  # of a box, from left to right: hardly any background
# Root mean square of the differences of the stripes' colours, 0 to 255. On drawn recordings 98 % of the boxes of one
# person are nearer to each other within a second, and 75 % of those of two people are not.
_MAX_COLOUR = 45.0
_COLOUR_WEIGHT = 0.01  # of such a difference against an intersection over union
_NEW_COLOUR = 0.3  # weight of the newest box in the colours of a track
_MIN_IOU = 0.3  # between where a person is expected and a box
_RIVAL = 0.5  # another track that fits so well, in parts of the one that fits best, makes it unclear who it is
# in body heights: how exactly detectors put a box, how fast people are, how they change that within a second
_BOX_NOISE, _SPEED, _ACCELERATION = 0.06, 0.6, 0.8


class MotionTracker:
    """Tracks by motion and colours: a box belongs to the track whose person is expected there and looks like that.

    Every side of a box is followed by a Kalman filter of place and speed; boxes and expectations are paired such that
    the sum of their intersections over unions, less their differences in colour, is greatest.

    Reference: Bewley et al., Simple Online and Realtime Tracking, ICIP 2016.
    Note: the sides move independently of each other, time is in seconds (frames may be skipped), a person is expected
        for `max_gap` seconds, colours count, and tracks end where another one fits nearly as well.
    """

    def __init__(self, *, max_gap: float) -> None:
        """Begin without a track.

        Args:
            max_gap: seconds for which a person may be out of sight.
        """
        self._max_gap = max_gap
        self._next = 0
        self._time = 0.0
        self._keys = np.zeros(0, np.int64)  # (T,)
        self._seen = np.zeros(0)  # (T,) when
        self._state = np.zeros((0, 4, 2))  # place and speed of centre x, centre y, width, height
        self._spread = np.zeros((0, 4, 2, 2))  # covariances
        self._colours = np.zeros((0, 3 * len(_STRIPES)))

    @property
    def living(self) -> set[int]:
        """Tracks that may go on."""
        return set(self._keys.tolist())

    def update(self, boxes: np.ndarray, seconds: float, picture: np.ndarray) -> np.ndarray:
        """Go on by a frame.

        Args:
            boxes: (n, 4 or more): left, top, width, height.
            seconds: time of the frame, later than that of the one before.
            picture: (H, W, 3) uint8 of the frame.

        Returns:
            (n,) int64, the track of each box: 0, 1, ... in the order in which they begin.
        """
        self._expect(seconds)
        colours = stripe_colours(picture, boxes)
        rows, columns, unclear = self._pair(boxes, colours)
        keys = np.full(len(boxes), -1, np.int64)
        keys[columns] = self._keys[rows]
        self._correct(rows, boxes[columns])
        self._colours[rows] += _NEW_COLOUR * (colours[columns] - self._colours[rows])
        self._seen[rows] = seconds
        self._keep(~unclear & (seconds - self._seen <= self._max_gap))
        keys[~np.isin(keys, self._keys)] = -1
        begins = np.flatnonzero(keys < 0)
        keys[begins] = self._begin(boxes[begins], colours[begins], seconds)
        return keys

    def _expect(self, seconds: float) -> None:
        """Move all tracks to a time."""
        step, self._time = seconds - self._time, seconds
        move = np.array([[1, step], [0, 1]])
        height = self._state[:, 3, 0].clip(1)
        grows = np.array([[step**4 / 4, step**3 / 2], [step**3 / 2, step**2]]) * _ACCELERATION**2
        self._state = self._state @ move.T
        self._spread = move @ self._spread @ move.T + (height**2)[:, None, None, None] * grows

    def _pair(self, boxes: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of tracks and rows of boxes that belong together, and (T,) which tracks are no longer clear."""
        differences = np.sqrt(((self._colours[:, None] - colours[None]) ** 2).mean(axis=2))  # (T, n)
        iou = np.where(differences <= _MAX_COLOUR, box_iou(self._expected(), boxes), 0.0)
        rows, columns = linear_sum_assignment(_COLOUR_WEIGHT * differences - iou)
        good = iou[rows, columns] >= _MIN_IOU
        rows, columns = rows[good], columns[good]
        unclear = np.zeros(len(iou), bool)
        lost = np.setdiff1d(np.arange(len(iou)), rows)  # only they could have been this box instead
        for row, column in zip(rows, columns, strict=True):
            rivals = lost[iou[lost, column] >= max(_MIN_IOU, _RIVAL * iou[row, column])]
            if len(rivals):
                unclear[rivals] = unclear[row] = True
        return rows, columns, unclear

    def _expected(self) -> np.ndarray:
        """(T, 4) boxes."""
        centre, sides = self._state[:, :2, 0], self._state[:, 2:, 0].clip(1)
        return np.concatenate([centre - sides / 2, sides], axis=1)

    def _correct(self, rows: np.ndarray, boxes: np.ndarray) -> None:
        """Move tracks towards what was seen of them."""
        found, noise = _measured(boxes), (_BOX_NOISE * boxes[:, 3]) ** 2  # (m, 4), (m,)
        spread = self._spread[rows]
        gain = spread[:, :, :, 0] / (spread[:, :, :1, 0] + noise[:, None, None])  # (m, 4, 2)
        self._state[rows] += gain * (found - self._state[rows][:, :, 0])[:, :, None]
        self._spread[rows] = spread - gain[:, :, :, None] * spread[:, :, :1, :]

    def _keep(self, kept: np.ndarray) -> None:
        self._keys, self._seen = self._keys[kept], self._seen[kept]
        self._state, self._spread = self._state[kept], self._spread[kept]
        self._colours = self._colours[kept]

    def _begin(self, boxes: np.ndarray, colours: np.ndarray, seconds: float) -> np.ndarray:
        """New tracks; gives their keys."""
        keys = np.arange(self._next, self._next + len(boxes))
        self._next += len(boxes)
        found = _measured(boxes)
        variances = np.array([_BOX_NOISE**2, _SPEED**2])
        spread = np.einsum("t,ij->tij", boxes[:, 3] ** 2, np.diag(variances))[:, None].repeat(4, axis=1)
        self._keys = np.concatenate([self._keys, keys])
        self._seen = np.concatenate([self._seen, np.full(len(boxes), seconds)])
        self._state = np.concatenate([self._state, np.stack([found, np.zeros_like(found)], axis=2)])
        self._spread = np.concatenate([self._spread, spread])
        self._colours = np.concatenate([self._colours, colours])
        return keys


def stripe_colours(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Mean colours of what somebody wears.

    Args:
        picture: (H, W, 3).
        boxes: (n, 4 or more): left, top, width, height; they may leave the picture.

    Returns:
        (n, 12): red, green and blue of four stripes from the head to the legs, 0 to 255.
    """
    height, width = picture.shape[:2]
    found = np.zeros((len(boxes), 3 * len(_STRIPES)))
    for row, (left, top, wide, high, *_) in enumerate(boxes.tolist()):
        first, last = (int(min(max(left + part * wide, 0), width - 1)) for part in _MIDDLE)
        for stripe, parts in enumerate(_STRIPES):
            upper, lower = (int(min(max(top + part * high, 0), height - 1)) for part in parts)
            pixels = picture[upper : lower + 1, first : last + 1]
            found[row, 3 * stripe : 3 * stripe + 3] = pixels.mean(axis=(0, 1))
    return found


def _measured(boxes: np.ndarray) -> np.ndarray:
    """(n, 4): centre x, centre y, width, height."""
    return np.concatenate([boxes[:, :2] + boxes[:, 2:4] / 2, boxes[:, 2:4]], axis=1)


_JUMP = 1.0  # body heights that a box may be off at once
_FASTEST = 4.0  # body heights a second; a sprinter has less than six


class GivenIdentities:
    """Tracks by identities that another program gave; where one jumps, or was away for long, a new track begins.

    Attributes:
        jumps: how often an identity was suddenly elsewhere.
    """

    def __init__(self, *, max_gap: float) -> None:
        """Begin without a track; `max_gap` is the longest time in seconds that a track may be out of sight."""
        self.jumps = 0
        self._max_gap = max_gap
        self._next = 0
        self._last: dict[int, tuple[int, float, np.ndarray]] = {}  # identity -> track, time, box

    @property
    def living(self) -> set[int]:
        """Tracks that may go on."""
        return {key for key, _, _ in self._last.values()}

    def update(self, boxes: np.ndarray, ids: np.ndarray, seconds: float) -> np.ndarray:
        """Go on by a frame: boxes (n, 4 or more) and their identities (n,), -1 unknown, to tracks (n,), -1 none."""
        self._last = {each: seen for each, seen in self._last.items() if seconds - seen[1] <= self._max_gap}
        keys = np.full(len(boxes), -1, np.int64)
        for row, (identity, box) in enumerate(zip(ids.tolist(), boxes, strict=True)):
            if identity < 0:
                continue
            known = self._last.get(identity)
            if known is not None and _jumps(known[2], box, seconds - known[1]):
                self.jumps += 1
                known = None
            if known is None:
                known = (self._next, seconds, box)
                self._next += 1
            self._last[identity] = (known[0], seconds, box)
            keys[row] = known[0]
        return keys


def _jumps(before: np.ndarray, after: np.ndarray, seconds: float) -> bool:
    """Whether nobody can have gone from one box to the other in this time."""
    way = np.hypot(*(after[:2] + after[2:4] / 2 - before[:2] - before[2:4] / 2))
    return bool(way > max(before[3], after[3]) * (_JUMP + _FASTEST * seconds))
