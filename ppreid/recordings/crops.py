"""From the frames of one camera to crops on the disk and rows that say what they are."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.disk.files import explained, replacing
from ppreid.recordings.filters import Filters, clipped, covered, cut_out, why_not
from ppreid.recordings.rows import CropRow, RowWriter
from ppreid.recordings.sources import Frame, Recording

_QUALITY = 95  # of the JPEG files


@dataclass
class Counts:
    """What happened to the frames and boxes of a camera.

    Attributes:
        frames: that were read.
        looked_at: of these, in which people were looked for.
        boxes: that were found.
        crops: that were written.
        tracks: that they belong to.
        jumps: how often an identity that another program gave was suddenly elsewhere.
        skipped: reason -> boxes that became no crops.
    """

    frames: int = 0
    looked_at: int = 0
    boxes: int = 0
    crops: int = 0
    tracks: int = 0
    jumps: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


class Tracked(NamedTuple):
    """The people in a frame: boxes (n, 5), the track of each (n,), -1 none, and the tracks that may go on."""

    boxes: np.ndarray
    keys: np.ndarray
    living: set[int]


class CropWriter:
    """Crops of one camera; a track gets its number when it is long enough, and its crops wait in memory until then."""

    def __init__(
        self,
        folder: Path,
        camera: str,
        rows: RowWriter,
        *,
        filters: Filters,
        counts: Counts,
        first_track: int = 0,
        start: float = 0.0,
    ) -> None:
        """Begin.

        Args:
            folder: with the folders of all cameras.
            camera: name of this one.
            rows: that say what was written and what was left out.
            filters: which boxes become crops.
            counts: to count in.
            first_track: number of the first track.
            start: added to the times of frames.
        """
        self._folder, self._camera, self._rows = folder, camera, rows
        self._filters, self._counts = filters, counts
        self._next, self._start = first_track, start
        self._numbers: dict[int, int] = {}  # key of a track -> its number
        self._lengths: Counter[int] = Counter()
        self._waiting: dict[int, list[tuple[CropRow, bytes]]] = {}

    def add(self, frame: Frame, picture: np.ndarray, tracked: Tracked) -> None:
        """Write what is good enough of a frame."""
        inside = clipped(tracked.boxes, picture.shape[1], picture.shape[0])
        hidden = covered(tracked.boxes)
        for row, key in enumerate(tracked.keys.tolist()):
            self._counts.boxes += 1
            box, score = inside[row], float(tracked.boxes[row, 4])
            left, top, width, height = box.tolist()
            moment = self._start + frame.time
            crop = CropRow("", self._camera, -1, frame.number, moment, left, top, width, height, score)
            reason = "no identity" if key < 0 else why_not(tracked.boxes[row], box, hidden[row], picture, self._filters)
            self._lengths[key] += key >= 0
            if reason:
                self._leave_out(crop, reason)
            else:
                self._waiting.setdefault(key, []).append((crop, _jpeg(cut_out(picture, box))))
        for key in set(tracked.keys.tolist()):
            if key >= 0 and self._lengths[key] >= self._filters.min_track:
                self._write_waiting(key)
        self._forget(set(self._lengths) - tracked.living)

    def close(self) -> None:
        """No frame comes any more."""
        self._forget(set(self._lengths))

    def _write_waiting(self, key: int) -> None:
        for crop, jpeg in self._waiting.pop(key, []):
            if key not in self._numbers:
                self._numbers[key] = self._next
                self._next += 1
                self._counts.tracks += 1
            number = self._numbers[key]
            path = f"{self._camera}/track_{number:06d}/{number:06d}_{crop.frame:06d}.jpg"
            _write_crop(self._folder / path, jpeg)
            self._rows.keep(crop._replace(path=path, track=number))
            self._counts.crops += 1

    def _forget(self, keys: set[int]) -> None:
        """Tracks that have ended."""
        for key in sorted(keys):
            for crop, _ in self._waiting.pop(key, []):
                self._leave_out(crop, "track too short")
            self._numbers.pop(key, None)
            del self._lengths[key]

    def _leave_out(self, crop: CropRow, reason: str) -> None:
        self._counts.skipped[reason] += 1
        self._rows.leave_out(crop, reason)


def write_crops(
    recording: Recording,
    track: Callable[[Frame, np.ndarray], Tracked],
    is_wanted: Callable[[int, float], bool],
    writer: CropWriter,
    counts: Counts,
    *,
    seconds: float = math.inf,
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Frame]:
    """Look for people in a recording and write crops of them.

    Args:
        recording: of one camera.
        track: finds the people of a frame, given its picture.
        is_wanted: (number, time) -> whether to look at a frame.
        writer: of this camera's crops.
        counts: to count in.
        seconds: after which to end.
        is_over: whether somebody wants it to end, asked before every frame.

    Yields:
        Every frame, when it has been worked on.

    Raises:
        DataError: no frame can be read.
        WriteError: a file cannot be written.
    """
    first = None
    for frame in recording.frames(is_wanted):
        first = frame.time if first is None else first
        if frame.time - first >= seconds or is_over():
            break
        counts.frames += 1
        if frame.picture is not None:
            counts.looked_at += 1
            writer.add(frame, frame.picture, track(frame, frame.picture))
        yield frame._replace(picture=None)
    writer.close()
    if not counts.frames:
        raise DataError(f"no frame of {recording.source} can be read")


def _jpeg(crop: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _write_crop(path: Path, jpeg: bytes) -> None:
    """Write a crop, unless a command that was killed has written it: the same recording gives the same bytes."""
    if path.exists():
        return
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(jpeg)
