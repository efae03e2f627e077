"""What is noted while crops are made, so that a command that was killed goes on: boxes that were found, and rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid.disk.files import append_line, explained, write_text

TRACK_COLUMNS = ("path", "camera", "track", "frame", "time", "x", "y", "width", "height", "score")
SKIPPED_COLUMNS = ("camera", "frame", "time", "x", "y", "width", "height", "score", "reason")
_DECIMALS = 2  # of boxes in the notes, which are what is tracked: a command that goes on has the same numbers


class CropRow(NamedTuple):
    """One crop: a row of tracks.csv.

    Attributes:
        path: below the folder.
        camera: its name.
        track: number within the camera.
        frame: number, from 0.
        time: in seconds.
        x: left edge in the frame, in pixels.
        y: upper edge.
        width: in pixels.
        height: in pixels.
        score: of the detector.
    """

    path: str
    camera: str
    track: int
    frame: int
    time: float
    x: int
    y: int
    width: int
    height: int
    score: float

    def numbers(self) -> list[str]:
        """Frame, time, box and score as they are written."""
        sides = self.x, self.y, self.width, self.height
        return [str(self.frame), f"{self.time:.3f}", *map(str, sides), f"{self.score:.4f}"]


class RowWriter:
    """Rows of one camera, appended to two files; names of cameras are plain, so that no cell needs quotes."""

    def __init__(self, notes: Path, camera: str) -> None:
        """Begin.

        Args:
            notes: folder of the files.
            camera: its name.
        """
        self._kept, self._left = kept_file(notes, camera), left_out_file(notes, camera)

    def keep(self, crop: CropRow) -> None:
        """Note a crop that was written."""
        append_line(self._kept, ",".join([crop.path, crop.camera, str(crop.track), *crop.numbers()]), flush=False)

    def leave_out(self, crop: CropRow, reason: str) -> None:
        """Note a box that became no crop."""
        append_line(self._left, ",".join([crop.camera, *crop.numbers(), reason]), flush=False)


def kept_file(notes: Path, camera: str) -> Path:
    """Where rows of crops are noted."""
    return notes / f"{camera}.kept.csv"


def left_out_file(notes: Path, camera: str) -> Path:
    """Where rows of boxes that became no crops are noted."""
    return notes / f"{camera}.left_out.csv"


def complete_lines(file: Path) -> Iterator[bytes]:
    """The lines of notes, one at a time, without one that a killed process has not finished."""
    if file.exists():
        with open(file, "rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield line


def drop_unfinished(file: Path) -> None:
    """Remove a last line that a killed process has not finished, so that nothing is appended behind it."""
    if file.exists():
        with explained(file):
            content = file.read_bytes()
            if content and not content.endswith(b"\n"):
                write_text(file, content[: content.rfind(b"\n") + 1].decode("utf-8", "surrogateescape"))


def remembering(
    detect: Callable[[np.ndarray], np.ndarray], notes: Path | None
) -> Callable[[int, np.ndarray], np.ndarray]:
    """A detector that notes what it finds, and does not look twice at a frame.

    Looking is nearly all of the time; a command that goes on takes what was noted, and the rest follows from it.

    Args:
        detect: picture (H, W, 3) to boxes (n, 5).
        notes: file of this camera and this detector; None notes nothing.

    Returns:
        (number of a frame, its picture) -> boxes (n, 5).
    """
    known = _noted(notes) if notes else iter(())
    waiting = next(known, None)

    def look(number: int, picture: np.ndarray) -> np.ndarray:
        nonlocal waiting
        while waiting is not None and waiting[0] < number:
            waiting = next(known, None)
        if waiting is not None and waiting[0] == number:
            return waiting[1]
        boxes = np.round(detect(picture), _DECIMALS).reshape(-1, 5)
        if notes:
            append_line(notes, json.dumps([number, boxes.tolist()]), flush=False)
        return boxes

    return look


def _noted(file: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Frames and their boxes, up to the first line that is damaged."""
    drop_unfinished(file)
    size = file.stat().st_size if file.exists() else 0
    for line in complete_lines(file):
        size -= len(line)
        if size < 0:  # what is appended from now on
            return
        try:
            number, boxes = json.loads(line)
            yield int(number), np.array(boxes, np.float64).reshape(-1, 5)
        except (ValueError, TypeError):
            return
