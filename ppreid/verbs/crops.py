"""ppreid crops, tools/crops.py: recordings to crops of people, in tracks."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppreid.base.errors import ConfigError, DataError, Interrupted, unknown_choice
from ppreid.disk.checks import check_folder
from ppreid.disk.outputs import SHEET, Output, check_outputs
from ppreid.run.log import leave_standard_output_to, log_result, logger
from ppreid.tables import DETECTORS, TRACKERS, Detector, resolve
from ppreid.verbs.command import add_overwrite

if TYPE_CHECKING:
    from ppreid.recordings.camera import Camera, Looking

EXAMPLES = """\
  python tools/crops.py cam1.mp4 cam2.mp4 --out data/mine
  python tools/crops.py cam1.mp4 --out data/mine --detector onnx:yolo11n.onnx --per-second 10
  python tools/crops.py cam1.mp4 --boxes cam1.txt --out data/mine
  python tools/crops.py frames/hall frames/door --frame-rate 12 --out data/mine --start 2024-05-01T08:00:00
  python tools/crops.py rtsp://192.168.1.7/stream --camera hall --seconds 3600 --out data/hall
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="video, folder of frames, RTSP or HTTP address")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--camera", action="append", default=[], metavar="NAME", help="once for each source")
    parser.add_argument(
        "--detector", default="hog", metavar="NAME", help="hog, onnx:FILE or paddle:FOLDER (default: %(default)s)"
    )
    parser.add_argument("--boxes", action="append", default=[], type=Path, metavar="FILE", help=_BOXES)
    parser.add_argument("--class", dest="wanted", default="person", metavar="NAME", help="class of the network")
    parser.add_argument("--min-score", type=float, metavar="S", help="of boxes; the default is the detector's")
    parser.add_argument("--per-second", type=float, default=5.0, metavar="N", help=f"{_PER_SECOND} (default: 5)")
    parser.add_argument("--min-size", default="32x96", metavar="WxH", help="of crops in pixels (default: %(default)s)")
    parser.add_argument("--min-sharpness", type=float, default=20.0, metavar="V", help=f"{_SHARPNESS} (default: 20)")
    parser.add_argument("--max-overlap", type=float, default=0.5, metavar="SHARE", help=f"{_OVERLAP} (default: 0.5)")
    parser.add_argument("--min-track", type=int, default=3, metavar="N", help="boxes of a track (default: %(default)s)")
    parser.add_argument("--max-gap", type=float, default=1.0, metavar="SECONDS", help=f"{_GAP} (default: 1)")
    parser.add_argument(
        "--frame-rate", type=float, default=25.0, metavar="N", help="of folders of frames (default: 25)"
    )
    parser.add_argument("--start", action="append", default=[], metavar="ISO", help=_START)
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw tracks; DIR/tracks.html has more")
    parser.add_argument("--seconds", type=float, default=math.inf, metavar="N", help="of each source (default: all)")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="of silent streams (default: 10)"
    )
    add_overwrite(parser, "crops that the folder holds; folders that hold other things are never touched")


_BOXES = "MOTChallenge text with boxes and perhaps identities, once for each source; nothing is detected then"
_PER_SECOND = "frames to look at in a second"
_SHARPNESS = "least variance of a crop's Laplacian; 0 takes all"
_OVERLAP = "of a box that people nearer to the camera may cover"
_GAP = "for which a person may be out of sight within a track"
_START = "when a recording began, once or once for each source, e.g. 2024-05-01T08:00:00 (UTC unless it says otherwise)"


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    _check_numbers(args)
    check_folder(args.out)
    if args.sheet:
        inputs = [*map(Path, args.sources), *args.boxes]
        check_outputs([Output("--sheet", args.sheet, SHEET)], overwrite=args.overwrite, inputs=inputs)
    leave_standard_output_to(args.sheet)
    row, place = _detector(args.detector)
    from ppreid.recordings.folder import check_crops, open_folder, was_killed_at_the_end
    from ppreid.recordings.sources import name_cameras
    from ppreid.run.lock import LOCK, run_lock
    from ppreid.run.stop import stop_signals
    from ppreid.verbs.crop_sources import for_each, open_cameras, settings_of

    for_each(args.sources, args.boxes, "--boxes")
    names = name_cameras(args.sources, args.camera)
    made_from = settings_of(args, names, place if row.place == "FILE" else None)
    if not args.overwrite and was_killed_at_the_end(args.out, made_from):
        logger.info("%s was complete already", args.out)
        return
    check_crops(args.out, made_from, overwrite=args.overwrite, may_hold=[LOCK])
    cameras = open_cameras(args, names)
    looking = _looking(args, row, place)
    with run_lock(args.out), stop_signals() as stop:
        notes = open_folder(args.out, made_from, overwrite=args.overwrite, may_hold=[LOCK])
        looking = looking._replace(is_over=lambda: bool(stop.requested))  # a stream has no other end
        for _ in _frames_of_all(cameras, args.out, notes, looking):
            if stop.requested and not cameras[0].recording.is_live:
                break
        counts = _counts(cameras, notes, stop.requested)
        _write_results(args, counts, made_from)
    if stop.requested:
        raise Interrupted(stop.requested, "the crops of what was seen until then are complete")


def _counts(cameras: Sequence[Camera], notes: Path, stopped_by: int) -> dict[str, dict[str, Any]]:
    """What was counted of each camera; an interruption is the end of streams, and of nothing else."""
    from ppreid.recordings.camera import finished

    counts = {camera.name: found for camera in cameras if (found := finished(camera.name, notes)) is not None}
    if stopped_by and len(counts) < len(cameras):
        raise Interrupted(stopped_by, "the same command goes on")
    return counts


def _write_results(args: argparse.Namespace, counts: dict[str, dict[str, Any]], made_from: dict[str, Any]) -> None:
    """Write tables, page and sheet, and say what there is."""
    from ppreid.recordings.folder import TRACKS, finish, give_up, write_tables
    from ppreid.recordings.summary import counted, require_crops

    try:
        require_crops(counts, made_from)
    except DataError:
        give_up(args.out)
        raise
    write_tables(args.out, list(counts))
    _show(args, counts)
    finish(args.out, counts, made_from)
    for name, each in counts.items():
        log_result(f"camera {name}: {counted(each)}")
    logger.info("written: %s", args.out / TRACKS)


def _show(args: argparse.Namespace, counts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what people look at."""
    from ppreid.disk.files import write_text
    from ppreid.disk.outputs import write_png
    from ppreid.recordings.folder import PAGE, TRACKS
    from ppreid.report.tracklets import tracks_page, tracks_sheet

    write_text(args.out / PAGE, tracks_page(args.out / TRACKS, counts))
    if args.sheet:
        write_png(args.sheet, tracks_sheet(args.out / TRACKS))


def _check_numbers(args: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing."""
    least = {"per_second": 0.0, "max_gap": 0.0, "frame_rate": 0.0, "seconds": 0.0, "timeout": 0.0}
    wrong = [f"--{name.replace('_', '-')} is {getattr(args, name):g}" for name in least if not getattr(args, name) > 0]
    if wrong:
        raise ConfigError(f"{'; '.join(wrong)}; it must be above 0")
    if not args.min_sharpness >= 0 or not 0 <= args.max_overlap <= 1 or args.min_track < 1:
        raise ConfigError(
            f"--min-sharpness is {args.min_sharpness:g}, --max-overlap {args.max_overlap:g} and --min-track "
            f"{args.min_track}; they must be 0 or more, 0 to 1, and 1 or more"
        )


def _detector(text: str) -> tuple[Detector, Path | None]:
    """The row of a detector, and what stands behind its name."""
    name, colon, place = text.partition(":")
    row = DETECTORS.get(name)
    if row is None:
        raise ConfigError(unknown_choice("--detector", name, DETECTORS))
    if bool(row.place) != bool(place):
        wanted = f"{name}:{row.place}" if row.place else name
        raise ConfigError(f"--detector is {text!r}; give it as {wanted}")
    return row, Path(place) if colon else None


def _looking(args: argparse.Namespace, row: Detector, place: Path | None) -> Looking:
    from ppreid.recordings.camera import Looking
    from ppreid.recordings.crops import Filters
    from ppreid.verbs.crop_sources import size_of

    width, height = size_of(args.min_size)
    known = {"min_score": args.min_score, "min_height": height, "wanted": args.wanted}
    keys = {key: known[key] for key in row.keys}
    filters = Filters(width, height, args.min_sharpness, args.max_overlap, args.min_track)
    return Looking(
        detect=None if args.boxes else resolve(row.open)(*([place] if place else []), **keys),
        new_tracker=resolve(TRACKERS["motion"].function),
        max_gap=args.max_gap,
        per_second=args.per_second,
        seconds=args.seconds,
        filters=filters,
    )


def _frames_of_all(cameras: Sequence[Camera], folder: Path, notes: Path, looking: Looking) -> Iterator[object]:
    """Work on all frames: of recordings one after the other, of streams side by side."""
    from ppreid.base.progress import progress
    from ppreid.recordings.camera import crop_camera, finished

    if any(camera.recording.is_live for camera in cameras):
        streams = [crop_camera(camera, folder, notes, looking) for camera in cameras]
        side_by_side = chain.from_iterable(zip_longest(*streams))
        yield from progress(side_by_side, total=None, description="streams", unit="frame")
        return
    for camera in cameras:
        if finished(camera.name, notes) is None:
            frames = crop_camera(camera, folder, notes, looking)
            total = camera.recording.declared
            yield from progress(frames, total=total, description=f"camera {camera.name}", unit="frame")
