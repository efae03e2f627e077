"""One camera from its recording to its crops, going on where a command was killed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.errors import ConfigError
from ppreid.contracts import Detector, Tracker
from ppreid.disk.files import explained, write_text
from ppreid.disk.text import read_json
from ppreid.recordings.boxes import BoxesFile
from ppreid.recordings.crops import Counts, CropWriter, Filters, Tracked, write_crops
from ppreid.recordings.rows import RowWriter, complete_lines, drop_unfinished, kept_file, left_out_file, remembering
from ppreid.recordings.sources import Frame, Recording
from ppreid.recordings.tracking import GivenIdentities

_DECIMALS = 9  # of seconds: sums of 1 / rate are not exact


class Looking(NamedTuple):
    """How people are looked for, the same for all cameras.

    Attributes:
        detect: finds people in a picture; None where files say where they are.
        new_tracker: (max_gap=) -> a tracker without a track.
        max_gap: seconds for which a person may be out of sight within a track.
        per_second: frames to look at in a second; infinite are all.
        seconds: after which to end.
        filters: which boxes become crops.
        is_over: whether somebody wants streams to end.
    """

    detect: Detector | None
    new_tracker: Callable[..., Tracker]
    max_gap: float
    per_second: float
    seconds: float
    filters: Filters
    is_over: Callable[[], bool] = lambda: False


class Camera(NamedTuple):
    """One camera.

    Attributes:
        name: of the camera.
        recording: opened.
        boxes: where people are, if a file says so.
        start: when the recording begins, in seconds; added to the times of its frames.
    """

    name: str
    recording: Recording
    boxes: BoxesFile | None = None
    start: float = 0.0


def finished(camera: str, notes: Path) -> dict[str, Any] | None:
    """What was counted of a camera that is done; None for one that is not."""
    file = _done_file(notes, camera)
    return read_json(file) if file.exists() else None


def crop_camera(camera: Camera, folder: Path, notes: Path, looking: Looking) -> Iterator[Frame]:
    """Write the crops of one camera.

    Args:
        camera: what to read.
        folder: of the crops of all cameras.
        notes: folder for what a command that goes on has to know.
        looking: how people are looked for.

    Yields:
        Every frame, when it has been worked on.

    Raises:
        DataError: no frame can be read.
        WriteError: a file cannot be written.
    """
    counts, recording = Counts(), camera.recording
    kept, left_out = kept_file(notes, camera.name), left_out_file(notes, camera.name)
    if recording.is_live:
        for file in (kept, left_out):
            drop_unfinished(file)
        counts.crops, counts.tracks, recording.first_number = _reached(kept)
    else:  # everything is made again, which is quick: people are not looked for twice
        with explained(kept):
            kept.unlink(missing_ok=True)
            left_out.unlink(missing_ok=True)
    rows = RowWriter(notes, camera.name)
    writer = CropWriter(
        folder, camera.name, rows, filters=looking.filters, counts=counts, first_track=counts.tracks, start=camera.start
    )
    is_due = _every(looking.per_second)
    is_over = looking.is_over if recording.is_live else lambda: False
    if camera.boxes is None:
        is_wanted, track = (
            is_due,
            _tracking_found(looking, None if recording.is_live else notes / f"{camera.name}.jsonl"),
        )
    else:
        is_wanted, track = _only(camera.boxes, is_due), _tracking_given(looking, camera.boxes, counts)
    yield from write_crops(recording, track, is_wanted, writer, counts, seconds=looking.seconds, is_over=is_over)
    if camera.boxes is not None and math.isinf(looking.seconds):
        _count_of_file(camera.boxes, recording, counts)
    write_text(_done_file(notes, camera.name), json.dumps(_counted(counts, recording)))


def _done_file(notes: Path, camera: str) -> Path:
    return notes / f"{camera}.done.json"


def _reached(kept: Path) -> tuple[int, int, int]:
    """Crops, tracks and frames of a stream that a command before this one wrote."""
    crops = tracks = frames = 0
    for line in complete_lines(kept):
        _, _, track, frame, *_ = line.split(b",")
        crops, tracks, frames = crops + 1, max(tracks, int(track) + 1), max(frames, int(frame) + 1)
    return crops, tracks, frames


def _every(per_second: float) -> Callable[[int, float], bool]:
    """Whether to look at a frame: the first one of every 1 / per_second seconds."""
    due: float | None = None

    def is_due(number: int, moment: float) -> bool:
        nonlocal due
        due = moment if due is None else due
        if moment < round(due, _DECIMALS):
            return False
        # times of a varying frame rate do not fall on a grid: no second picture shortly after a late one
        due = max(due + 1 / per_second, moment + 0.5 / per_second)
        return True

    return is_due


def _only(boxes: BoxesFile, is_due: Callable[[int, float], bool]) -> Callable[[int, float], bool]:
    return lambda number, moment: number in boxes.frames and is_due(number, moment)


def _tracking_found(looking: Looking, notes: Path | None) -> Callable[[Frame, np.ndarray], Tracked]:
    """Look for people, and follow them."""
    tracker = looking.new_tracker(max_gap=looking.max_gap)
    if looking.detect is None:
        raise ConfigError("neither a detector nor boxes were given")
    look = remembering(looking.detect, notes)

    def track(frame: Frame, picture: np.ndarray) -> Tracked:
        boxes = look(frame.number, picture)
        return Tracked(boxes, tracker.update(boxes, frame.time, picture), tracker.living)

    return track


def _tracking_given(looking: Looking, boxes: BoxesFile, counts: Counts) -> Callable[[Frame, np.ndarray], Tracked]:
    """Take the boxes of a file, and its identities, if it has any."""
    identities = GivenIdentities(max_gap=looking.max_gap)
    tracker = looking.new_tracker(max_gap=looking.max_gap)

    def track(frame: Frame, picture: np.ndarray) -> Tracked:
        found = boxes.frames[frame.number]
        if not boxes.has_ids:
            return Tracked(found.boxes, tracker.update(found.boxes, frame.time, picture), tracker.living)
        keys = identities.update(found.boxes, found.ids, frame.time)
        counts.jumps = identities.jumps
        return Tracked(found.boxes, keys, identities.living)

    return track


def _count_of_file(boxes: BoxesFile, recording: Recording, counts: Counts) -> None:
    """Count what a file of boxes says that cannot be used."""
    counts.skipped.update(boxes.skipped)
    last = recording.first_number + counts.frames + recording.damaged
    late = sum(len(found.ids) for frame, found in boxes.frames.items() if frame >= last)
    if late:
        counts.skipped["after the last frame"] += late


def _counted(counts: Counts, recording: Recording) -> Mapping[str, Any]:
    return {
        "frames": counts.frames,
        "damaged_frames": recording.damaged,
        "missing_frames": recording.missing,
        "looked_at": counts.looked_at,
        "width": recording.size[0],
        "height": recording.size[1],
        "boxes": counts.boxes,
        "crops": counts.crops,
        "tracks": counts.tracks,
        "jumps": counts.jumps,
        "skipped": dict(sorted(counts.skipped.items())),
    }
