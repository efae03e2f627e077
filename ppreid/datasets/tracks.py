"""Which images are of one track: one passage of one person through one camera, as a tracker or file names tell."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.reading import complete, first_few, gathered, is_there
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.datasets.camera_table import natural_order
from ppreid.disk.csv_table import cell_seconds, seconds
from ppreid.disk.text import Row, cell_number, listed_path, read_csv

TRACKS = "tracks.csv"  # beside the folders of the cameras
UNKNOWN = -1


class Tracked(NamedTuple):
    """What a file says about one image.

    Attributes:
        camera: name of the camera.
        track: number of the track within the camera.
        time: seconds; -1 is unknown.
    """

    camera: str
    track: int
    time: float


def find_tracks(tracks: str | Path, root: Path) -> dict[str, Tracked]:
    """What is known of tracks in a folder of images, by absolute path.

    Args:
        tracks: "none"; "auto": tracks.csv in the folder, where there is one; otherwise a file, which must be there.
        root: the folder.

    Raises:
        DataError: the file cannot be read.
        EntriesError: lines of it are wrong.
    """
    if str(tracks) == "none":
        return {}
    file = root / TRACKS if str(tracks) == "auto" else Path(tracks).expanduser()
    if str(tracks) == "auto" and not is_there(file, DataError):
        return {}
    return read_track_table(file, root)


def read_track_table(file: Path, root: Path) -> dict[str, Tracked]:
    """Read a CSV with a header and the columns path, camera, track and time; further columns are ignored.

    Args:
        file: the CSV. `track` is a whole number within the camera, `time` seconds; an empty cell or -1 is unknown, and
            an image without a track is in none.
        root: folder that relative paths start from.

    Returns:
        What it says, by absolute path of the image.

    Raises:
        DataError: the file cannot be read, or a column is missing.
        EntriesError: lines are wrong; the message has the numbers of the first ones.
    """
    problems: list[str] = []
    found: dict[str, Tracked] = {}
    for row in read_csv(file, ["path", "camera", "track", "time"]):
        read = partial(_tracked, row, file, root)
        path, tracked = gathered(problems, read, ("", Tracked("", UNKNOWN, UNKNOWN)))
        if path in found:
            problems.append(f"{file}:{row.line}: {row.cells['path']} is listed twice")
        if tracked.track >= 0:
            found[path] = tracked
    return complete(first_few(problems, f"lines of {file} are wrong"), found)


def numbered(tracked: Mapping[str, Tracked]) -> dict[str, tuple[int, float]]:
    """Number the tracks of all cameras together, and give number and time by path.

    Cameras count in the natural order of their names, the tracks of a camera in that of their numbers.
    """
    names = sorted({(item.camera, item.track) for item in tracked.values()}, key=_order)
    numbers = {name: number for number, name in enumerate(names)}
    return {path: (numbers[item.camera, item.track], item.time) for path, item in tracked.items()}


def with_tracks_of_names(
    contents: DatasetContents, *, root: Path, pattern: str, frame_rate: float = 25.0
) -> DatasetContents:
    """Find the tracks of images whose file names tell them.

    Args:
        contents: a data set; images whose track is known already keep it.
        root: its folder; the pattern is searched in the path below it, or in the name of a file that lies elsewhere.
        pattern: regular expression. Images of one camera with the same text in the group `track` are one track, also
            where they are in different parts. The group `time` is seconds, or `frame` a number of frames.
        frame_rate: frames in a second.

    Returns:
        The data set with tracks, and with a sentence about them.

    Raises:
        DataError: no path has a track, or a frame or time is no number.
    """
    expression, first = re.compile(pattern), 1 + max((r.track for part in contents.split for r in part), default=-1)
    numbers: dict[tuple[int, str], int] = {}

    def tracked(record: ImageRecord) -> ImageRecord:
        below = os.path.relpath(record.path, root)
        match = expression.search(os.path.basename(record.path) if below.startswith("..") else below)
        if record.track >= 0 or match is None or not match["track"]:
            return record
        time = _time_of(match, record.path, frame_rate)
        return record._replace(
            track=numbers.setdefault((record.camid, match["track"]), first + len(numbers)), time=time
        )

    split = ReIDSplit(*(tuple(map(tracked, part)) for part in contents.split))
    if not numbers and not first:
        example = next(record.path for part in split for record in part)
        raise DataError(f"data.track_pattern {pattern!r} finds a track in no path, for example not in {example}")
    notes = tuple(note for note in contents.notes if not note.startswith(_NOTE))
    return contents._replace(split=split, notes=(*notes, *track_note(split)))


_NOTE = "tracks: "


def track_note(split: ReIDSplit) -> Iterator[str]:
    """A sentence about the tracks of a data set; none where no track is known."""
    images = [record for part in split for record in part]
    known = [record.track for record in images if record.track >= 0]
    if known:
        rest = f", {len(images) - len(known):,} images in none" * (len(known) < len(images))
        yield f"{_NOTE}{len(set(known)):,} with {len(known):,} images{rest}"


def _tracked(row: Row, file: Path, root: Path) -> tuple[str, Tracked]:
    """Absolute path of the image of a row, and what the row says."""
    place = f"{file}:{row.line}"
    if not row.cells["path"].strip():
        raise DataError(f"{place}: the path is empty")
    track, time = cell_number(row, "track", file), cell_seconds(row, "time", file)
    if track < UNKNOWN:
        raise DataError(f"{place}: track is {track}; expected a whole number of at least 0, or -1 for unknown")
    path = os.path.abspath(listed_path(row.cells["path"], root, place))
    return path, Tracked(row.cells["camera"].strip(), track, time)


def _time_of(match: re.Match[str], path: str, frame_rate: float) -> float:
    groups = match.groupdict()
    text = groups.get("time") or groups.get("frame")
    if not text:
        return float(UNKNOWN)
    if (number := seconds(text)) is None:
        raise DataError(f"data.track_pattern finds {text[:40]!r} in {path}, which is neither a time nor a frame")
    return number if groups.get("time") else number / frame_rate


def _order(name: tuple[str, int]) -> tuple[object, int]:
    return natural_order(name[0]), name[1]
