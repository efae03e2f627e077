"""A folder of person crops from one's own cameras: nobody knows the people, somebody may know the cameras."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ppreid.base.errors import DataError
from ppreid.base.reading import complete, gathered
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.datasets.camera_table import NamedImage, natural_order, read_camera_table
from ppreid.datasets.folder_layout import describe_entries
from ppreid.datasets.image_folder import scan_folder
from ppreid.datasets.tracks import Tracked, find_tracks, numbered, track_note

UNKNOWN = -1
DISTRACTOR = 0
_SHOWN = 5  # names that a message lists
_SHOWN_CAMERAS = 24

NamesOf = Callable[[str], tuple[str, str] | None]  # relative path -> camera and identity; None: it does not say


def read_camera_folder(
    root: Path,
    *,
    camera: str = "folder",
    pattern: str = "",
    csv: str | Path = "",
    unmatched: str = "error",
    tracks: str | Path = "auto",
    query: str | Path = "",
    gallery: str | Path = "",
    label_pattern: str = "",
) -> DatasetContents:
    """Read the images of a folder and its subfolders as training part, and labelled images where there are any.

    Args:
        root: the folder.
        camera: where cameras come from: "folder" (the first subfolder below root), "regex", "csv" or "none".
        pattern: for "regex": it is searched in the path below root; its groups `camera` and, if there is one, `pid`
            are the names.
        csv: for "csv": a file, see `read_camera_table`; its images are the training part, the folder is not searched.
        unmatched: what becomes of images whose path does not say the camera: "error", "skip", or "unknown".
        tracks: a file that says which images are of one track, see `read_track_table`; "auto" is tracks.csv in the root
            where there is one, "none" is none, and "found" looks for them in the training part, see `found_tracks`.
        query: labelled images to search for: a CSV, or a folder whose paths `label_pattern` describes; "" is none.
        gallery: labelled images to search among.
        label_pattern: as `pattern`, with both groups, for folders of labelled images; it is searched in the path below
            such a folder and, where it finds nothing, with the folder's own name before that path ("cam_a/0001.png").

    Returns:
        The records, the names of the cameras, and sentences about what was left out. Cameras are numbered in the
        natural order of their names ("cam2" before "cam10"), identities likewise from 1. Labelled images whose identity
        is unknown are left out of query and gallery; an identity of zeros is a distractor.

    Raises:
        EntriesError: there is no image, a path or a line does not parse, or training images are in query or gallery;
            all that is wrong with the three parts.
    """
    root, notes, problems = root.expanduser(), list[str](), list[str]()
    if camera == "csv" and csv:
        train, found = gathered(problems, partial(read_camera_table, Path(csv), root), list[NamedImage]()), ""
    else:
        keys = "see data.camera_folder.camera and .pattern, or set data.camera_folder.unmatched to skip or unknown"
        read = partial(_read_folder, root, names_in_path(camera, pattern), unmatched, advice=keys)
        train, found = gathered(problems, read, (list[NamedImage](), ""))
    notes += [found] if found else []
    parts = [train]
    for name, source in (("query", query), ("gallery", gallery)):
        read_labels = partial(_read_labelled, Path(source), root, label_pattern)
        labelled, unlabelled = gathered(problems, read_labels, (list[NamedImage](), 0)) if source else ([], 0)
        notes += [f"{name}: {unlabelled:,} images without a known identity are left out"] if unlabelled else []
        parts.append(labelled)
    problems += _overlap(parts)
    cameras = sorted({image.camera for part in parts for image in part} - {""}, key=natural_order)
    people = sorted({image.pid for part in parts for image in part if image.pid.strip("0")}, key=natural_order)
    camera_ids = {name: number for number, name in enumerate(cameras)}
    pids = {name: number for number, name in enumerate(people, start=1)}
    if tracks == "found":
        from ppreid.datasets.found_tracks import found_tracks

        known = {os.path.abspath(path): track for path, track in found_tracks(parts[0]).items()}
    else:
        known = gathered(problems, partial(find_tracks, tracks, root), dict[str, Tracked]())
    tracked = numbered(known)
    split = ReIDSplit(*(_records(part, camera_ids, pids, tracked) for part in parts))
    notes += [_camera_note(cameras, split), *track_note(split)]
    return complete(problems, DatasetContents(split, tuple(cameras), tuple(notes)))


def names_in_path(camera: str, pattern: str) -> NamesOf:
    """How a path below the root says camera and identity, see `read_camera_folder`."""
    if camera == "none":
        return lambda name: ("", "")
    if camera == "folder":
        return lambda name: (name.partition("/")[0], "") if "/" in name else None
    expression = re.compile(pattern)

    def by_pattern(name: str) -> tuple[str, str] | None:
        groups = {"pid": "", **match.groupdict("")} if (match := expression.search(name)) else {}
        return (groups["camera"], groups["pid"]) if groups.get("camera") else None

    return by_pattern


def _read_folder(root: Path, names_of: NamesOf, unmatched: str, *, advice: str) -> tuple[list[NamedImage], str]:
    """Images of a folder, and a sentence about what was left out; the advice says which keys decide about names."""
    scan = scan_folder(root)
    left_out = scan.left_out()
    if not scan.names:
        raise DataError(f"no image in {root.absolute()}; left out: {left_out or 'nothing'}; {describe_entries(root)}")
    named = [(name, names_of(name)) for name in scan.names]
    unparsed = [name for name, names in named if names is None]
    problems = []
    if unparsed and unmatched == "error":
        shown = ", ".join(map(repr, unparsed[:_SHOWN])) + ", ..." * (len(unparsed) > _SHOWN)
        problems = [
            f"the paths of {len(unparsed):,} of {len(named):,} images in {root.absolute()} do not say the camera: "
            f"{shown}; {advice}"
        ]
    if unparsed and unmatched == "skip":
        left_out = ", ".join(filter(None, [left_out, f"{len(unparsed):,} images whose path does not say the camera"]))
        if len(unparsed) == len(named):
            raise DataError(f"no path of an image in {root.absolute()} says the camera; left out: {left_out}")
    images = [
        NamedImage(os.path.join(root, name), *(names or ("", "")))
        for name, names in named
        if names is not None or unmatched != "skip"
    ]
    return complete(problems, (images, f"left out: {left_out}" if left_out else ""))


def _read_labelled(source: Path, root: Path, label_pattern: str) -> tuple[list[NamedImage], int]:
    """Images with known identity of a CSV or folder, and the number of those without."""
    problems: list[str] = []
    if source.suffix.lower() in (".csv", ".tsv"):
        images = gathered(problems, partial(read_camera_table, source, root), list[NamedImage]())
    else:
        folder = source.expanduser().absolute()
        names_of, own_name = names_in_path("regex", label_pattern), os.path.basename(os.path.normpath(folder))
        advice = (
            f"data.camera_folder.label_pattern finds camera and identity of labelled images, in these paths or with "
            f"{own_name + '/'!r} before them; it is {label_pattern!r}"
        )
        read = partial(_read_folder, folder, lambda name: names_of(name) or names_of(f"{own_name}/{name}"), "error")
        images, _ = gathered(problems, partial(read, advice=advice), (list[NamedImage](), ""))
    if problems:
        return complete(problems, (images, 0))
    labelled = [image for image in images if image.pid not in ("", "-1")]
    if not labelled:
        raise DataError(f"no image of {source.absolute()} has a known identity; without any it cannot be evaluated")
    return labelled, len(images) - len(labelled)


def _overlap(parts: Sequence[Sequence[NamedImage]]) -> list[str]:
    """A sentence about training images that are in query or gallery, e.g. because their folders lie in the root."""
    train = {os.path.abspath(image.path) for image in parts[0]} if any(parts[1:]) else set()
    both = [image.path for part in parts[1:] for image in part if os.path.abspath(image.path) in train]
    if not both:
        return []
    return [
        f"{len(both):,} labelled images are training images as well, e.g. {both[0]}; keep the folders of query and "
        "gallery outside of data.root, or the metrics mean nothing"
    ]


def _records(
    images: Sequence[NamedImage],
    camera_ids: dict[str, int],
    pids: dict[str, int],
    tracked: dict[str, tuple[int, float]],
) -> tuple[ImageRecord, ...]:
    def pid(name: str) -> int:
        return pids.get(name, DISTRACTOR if name else UNKNOWN)

    unknown = (UNKNOWN, float(UNKNOWN))
    return tuple(
        ImageRecord(path, pid(name), camera_ids.get(camera, UNKNOWN), *tracked.get(os.path.abspath(path), unknown))
        for path, camera, name in images
    )


def _camera_note(cameras: Sequence[str], split: ReIDSplit) -> str:
    counts = Counter(record.camid for part in split for record in part)
    shown = [f"{number + 1} {name} ({counts[number]:,})" for number, name in enumerate(cameras[:_SHOWN_CAMERAS])]
    shown += [f"... {len(cameras) - _SHOWN_CAMERAS} more"] if len(cameras) > _SHOWN_CAMERAS else []
    shown += [f"unknown ({counts[UNKNOWN]:,})"] if counts[UNKNOWN] else []
    return f"cameras (images): {', '.join(shown)}"
