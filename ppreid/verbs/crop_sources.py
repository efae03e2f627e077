"""What the arguments of ppreid crops say about its sources."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import starmap
from pathlib import Path
from typing import Any

from ppreid.base.errors import ConfigError, DataError, PpreidError, WeightsError
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import file_sha256
from ppreid.recordings.boxes import BoxesFile, read_boxes
from ppreid.recordings.camera import Camera
from ppreid.recordings.sources import Recording


def size_of(text: str) -> tuple[int, int]:
    """Width and height of --min-size."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        raise ConfigError(f"--min-size is {text!r}; give width and height in pixels, such as 32x96")
    return int(match[1]), int(match[2])


def for_each(sources: Sequence[str], given: Sequence[Any], option: str) -> list[Any]:
    """What was given once for all sources or once for each."""
    if len(given) not in (0, len(sources)) and not (option == "--start" and len(given) == 1):
        raise ConfigError(f"{len(sources)} sources, but {option} was given {len(given)} times; give it once for each")
    return list(given) * len(sources) if len(given) == 1 < len(sources) else list(given)


def _seconds_of(text: str) -> float:
    """A date and time as seconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--start is {text!r}; give a date and time such as 2024-05-01T08:00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def settings_of(args: argparse.Namespace, names: Sequence[str], network: Path | None) -> dict[str, Any]:
    """All that decides what the crops are, for a command that goes on."""
    keys = ("detector", "wanted", "min_score", "per_second", "min_size", "min_sharpness", "max_overlap", "min_track")
    settings: dict[str, Any] = {key: getattr(args, key) for key in (*keys, "max_gap", "frame_rate", "start")}
    settings["detector"] = settings["detector"] if not args.boxes else "boxes of a file"
    settings["seconds"] = None if math.isinf(args.seconds) else args.seconds
    sizes = [os.path.getsize(source) if os.path.isfile(source) else -1 for source in args.sources]
    digests = [_digest(file, DataError) for file in args.boxes]
    digests += [_digest(network, WeightsError)] if network and not args.boxes else []
    return {"cameras": list(names), "sources": args.sources, "bytes": sizes, "files": digests, **settings}


def _digest(file: Path, error: type[PpreidError]) -> str:
    """SHA-256 of a file that is read later on, so that a command does not go on with another one."""
    is_there(file, error)  # says what is no file; one that is missing is noticed when it is opened
    with reading(file, error):
        return file_sha256(file)


def open_cameras(args: argparse.Namespace, names: Sequence[str]) -> list[Camera]:
    """All recordings, opened, with the files of boxes that belong to them."""
    boxes: list[BoxesFile | None] = [None] * len(names)
    if args.boxes:
        boxes = [read_boxes(file, min_score=args.min_score) for file in args.boxes]
    starts = for_each(args.sources, [_seconds_of(text) for text in args.start], "--start") or [0.0] * len(names)
    recordings = [Recording(source, rate=args.frame_rate, timeout=args.timeout) for source in args.sources]
    cameras = list(starmap(Camera, zip(names, recordings, boxes, starts, strict=True)))
    if len({camera.recording.is_live for camera in cameras}) > 1:
        raise ConfigError("some sources have an end and others, which are live, have none; give them to two commands")
    return cameras
