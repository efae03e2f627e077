"""Tracks to look at: one page, and a picture, of those that ppreid crops wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ppreid.base.errors import DataError
from ppreid.base.numbers import clock, fixed
from ppreid.datasets.image_file import load_image
from ppreid.report.cluster_sheets import Thumbnails
from ppreid.report.page import rendered

_TRACKS, _CROPS = 60, 8  # of a camera on the page, and of a track
_SHEET_TRACKS, _SHEET_CROPS = 24, 10
_HEIGHT, _WIDTH, _GAP, _LABEL = 128, 64, 4, 16  # pixels of a sheet
_PAPER, _INK, _EMPTY = (255, 255, 255), (60, 60, 60), (236, 236, 236)


@dataclass
class Track:
    """One track of a camera.

    Attributes:
        camera: its name.
        number: within the camera.
        count: crops.
        first: time of the first crop, in seconds.
        last: time of the last one.
        shown: paths of some crops, spread over the track.
    """

    camera: str
    number: int
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    shown: list[str] = field(default_factory=list)


def choose_tracks(table: Path, *, per_camera: int, crops: int) -> dict[str, tuple[int, list[Track]]]:
    """Choose tracks, spread over the time of each camera, and crops, spread over each track.

    Args:
        table: tracks.csv of ppreid crops. It is read twice, line by line: hours of video have many rows.
        per_camera: tracks of a camera at most.
        crops: of a track at most.

    Returns:
        Name of a camera -> number of its tracks, and those that were chosen.
    """
    tracks: dict[str, dict[int, Track]] = defaultdict(dict)
    for _, camera, number, time in _rows(table):
        track = tracks[camera].setdefault(number, Track(camera, number, first=time))
        track.count, track.last = track.count + 1, time
    chosen = {
        camera: {track.number: track for track in _spread(list(own.values()), per_camera)}
        for camera, own in tracks.items()
    }
    seen: dict[tuple[str, int], int] = defaultdict(int)
    for path, camera, number, _ in _rows(table):
        if number in chosen[camera]:
            track, place = chosen[camera][number], seen[camera, number]
            if place in _spread(range(track.count), crops):
                track.shown.append(str(table.parent / path))
            seen[camera, number] += 1
    return {camera: (len(tracks[camera]), list(own.values())) for camera, own in chosen.items()}


def tracks_page(table: Path, counts: Mapping[str, Mapping[str, Any]]) -> str:
    """A page that shows tracks of every camera.

    Args:
        table: tracks.csv of ppreid crops.
        counts: what was counted of each camera, by its name.

    Returns:
        HTML that loads nothing; the same for the same crops.
    """
    chosen = choose_tracks(table, per_camera=_TRACKS, crops=_CROPS)
    total = {key: sum(each[key] for each in counts.values()) for key in ("crops", "tracks", "boxes", "looked_at")}
    reasons: dict[str, int] = defaultdict(int)
    for each in counts.values():
        for reason, number in each["skipped"].items():
            reasons[reason] += number
    return rendered(
        "tracks.html.j2",
        made="",  # a command that goes on where it was killed gives the same bytes
        picture=Thumbnails().uri,
        total=total,
        counts=counts,
        chosen=chosen,
        reasons=sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
        seconds=_seconds,
        file_name=lambda path: Path(path).name,
    )


def tracks_sheet(table: Path) -> Image.Image:
    """A picture of tracks, one in a row, those of the first camera first.

    Args:
        table: tracks.csv of ppreid crops.

    Returns:
        RGB image.
    """
    chosen = choose_tracks(table, per_camera=_SHEET_TRACKS, crops=_SHEET_CROPS)
    share = max(1, _SHEET_TRACKS // max(1, len(chosen)))
    tracks = [track for _, own in chosen.values() for track in _spread(own, share)]
    columns = max((len(track.shown) for track in tracks), default=1)
    row_height = _LABEL + _HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * (_WIDTH + _GAP) - _GAP, len(tracks) * row_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, track in enumerate(tracks):
        top = row * row_height
        text = f"{track.camera} track {track.number}: {track.count} crops, {_seconds(track)}"
        draw.text((0, top + 2), text, fill=_INK)
        for column, path in enumerate(track.shown):
            sheet.paste(_tile(path), (column * (_WIDTH + _GAP), top + _LABEL))
    return sheet


def _rows(table: Path) -> Iterator[tuple[str, str, int, float]]:
    """Path, camera, track and time of each row; ppreid wrote them, without quotes."""
    with open(table, encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            path, camera, track, _, time, *_ = line.split(",")
            yield path, camera, int(track), float(time)


def _spread(items: Sequence[Any], number: int) -> list[Any]:
    """At most so many items, the first and the last among them, at even distances."""
    if len(items) <= number:
        return list(items)
    return [items[round(place * (len(items) - 1) / max(1, number - 1))] for place in range(number)]


def _seconds(track: Track) -> str:
    """From when to when; a time of day where the start is known."""
    if clock(track.first):
        return f"{clock(track.first)} to {clock(track.last)}"
    return f"{fixed(track.first, 1)} to {fixed(track.last, 1)} s"


def _tile(path: str) -> Image.Image:
    tile = Image.new("RGB", (_WIDTH, _HEIGHT), _EMPTY)
    try:
        image = load_image(path)
    except DataError:
        return tile
    image.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)
    tile.paste(image, ((_WIDTH - image.width) // 2, (_HEIGHT - image.height) // 2))
    return tile
