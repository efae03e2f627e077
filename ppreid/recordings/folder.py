"""The folder of crops: what it was made from, how far that is, and its tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppreid.base.errors import ConfigError, DataError
from ppreid.disk.files import explained, remove_leftovers, replacing, write_text
from ppreid.disk.text import read_json
from ppreid.recordings.rows import SKIPPED_COLUMNS, TRACK_COLUMNS, complete_lines, kept_file, left_out_file

CROPS, TRACKS, SKIPPED, PAGE = "crops.json", "tracks.csv", "skipped.csv", "tracks.html"
NOTES = ".unfinished"
_FORMAT = 1


def check_crops(
    folder: Path, made_from: Mapping[str, Any], *, overwrite: bool, may_hold: Sequence[str]
) -> dict[str, Any] | None:
    """Find out, before any work, whether there may be crops in a folder.

    Args:
        folder: of the crops; it need not exist.
        made_from: sources and settings that decide what the crops are.
        overwrite: crops that are there, and nothing else, will be removed.
        may_hold: names of further files that are no reason to refuse.

    Returns:
        What the folder says about its crops; None if it has none.

    Raises:
        ConfigError: the folder holds crops already, those of another command, or something else.
        DataError: the crops that are there are damaged.
    """
    found = _description(folder)
    if found is None:
        others = [entry.name for entry in folder.iterdir() if entry.name not in may_hold] if folder.is_dir() else []
        others = [name for name in others if not name.startswith(f".{CROPS}.") and name != NOTES]
        if others or (folder.exists() and not folder.is_dir()):
            text = f"{folder} is not empty ({', '.join(sorted(others)[:3]) or 'a file'}) and holds no crops of ppreid"
            raise ConfigError(f"{text}; choose another folder")
    elif (found["is_complete"] or found["made_from"] != made_from) and not overwrite:
        raise ConfigError(_refusal(folder, found, made_from))
    return found


def open_folder(folder: Path, made_from: Mapping[str, Any], *, overwrite: bool, may_hold: Sequence[str]) -> Path:
    """Make room for crops, or find those that the same command has not finished; see `check_crops`.

    Returns:
        Folder of notes, which is gone when all is done.

    Raises:
        ConfigError, DataError: see `check_crops`.
        WriteError: it cannot be written.
    """
    found = check_crops(folder, made_from, overwrite=overwrite, may_hold=may_hold)
    if found is not None and (found["is_complete"] or found["made_from"] != made_from):
        remove_crops(folder, found)
        found = None
    notes = folder / NOTES
    with explained(folder):
        notes.mkdir(parents=True, exist_ok=True)
    if found is None:
        _write_description(folder, {"format": _FORMAT, "is_complete": False, "made_from": made_from})
    return notes


def _refusal(folder: Path, found: Mapping[str, Any], made_from: Mapping[str, Any]) -> str:
    if found["is_complete"]:
        return f"{folder} holds crops already; pass --overwrite to replace them, or choose another folder"
    changes = [key for key in made_from if found["made_from"].get(key) != made_from[key]]
    text = f"{folder} holds unfinished crops that were made with other {', '.join(changes) or 'settings'}"
    return f"{text}; give the same command to go on with them, --overwrite to begin anew, or choose another folder"


def remove_crops(folder: Path, description: Mapping[str, Any]) -> None:
    """Remove crops and tables that ppreid wrote; what else is in the folder stays.

    Args:
        folder: of the crops.
        description: of them, from its file.

    Raises:
        WriteError: something cannot be removed.
    """
    with explained(folder):
        for name in (TRACKS, SKIPPED, PAGE):
            (folder / name).unlink(missing_ok=True)
        for camera in description["made_from"]["cameras"]:
            for track in sorted((folder / Path(camera).name).glob("track_[0-9]*")):
                shutil.rmtree(track)
            if (folder / camera).is_dir() and not any((folder / camera).iterdir()):
                (folder / camera).rmdir()
        shutil.rmtree(folder / NOTES, ignore_errors=True)
        (folder / CROPS).unlink(missing_ok=True)


def give_up(folder: Path) -> None:
    """Remove what has been made of crops that cannot be: nobody was found."""
    found = _description(folder)
    if found is not None:
        remove_crops(folder, found)


def write_tables(folder: Path, cameras: Sequence[str]) -> None:
    """Write tracks.csv and skipped.csv.

    Args:
        folder: of the crops.
        cameras: all, in the order of the rows.

    Raises:
        WriteError: a file cannot be written.
    """
    notes = folder / NOTES
    tables = ((TRACKS, TRACK_COLUMNS, kept_file), (SKIPPED, SKIPPED_COLUMNS, left_out_file))
    for name, columns, noted in tables:
        with replacing(folder / name) as file:
            file.write(",".join(columns).encode() + b"\n")
            for camera in cameras:
                for line in complete_lines(noted(notes, camera)):
                    file.write(line)


def finish(folder: Path, counts: Mapping[str, Any], made_from: Mapping[str, Any]) -> None:
    """Say that all is there.

    Args:
        folder: of the crops.
        counts: of each camera, by its name.
        made_from: see `open_folder`.

    Raises:
        WriteError: it cannot be written.
    """
    description = {"format": _FORMAT, "is_complete": True, "made_from": made_from, "counts": counts}
    _write_description(folder, description)
    with explained(folder):
        shutil.rmtree(folder / NOTES)


def was_killed_at_the_end(folder: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether the same command was killed when all was done; what it did not tidy up is gone then."""
    found = _description(folder)
    if found is None or not found["is_complete"] or found["made_from"] != made_from or not (folder / NOTES).exists():
        return False
    with explained(folder):
        shutil.rmtree(folder / NOTES)
    return True


def _description(folder: Path) -> dict[str, Any] | None:
    """What the folder says about itself; None where it says nothing."""
    if not (folder / CROPS).exists():
        return None
    found = read_json(folder / CROPS)
    made_from = found.get("made_from")
    cameras = made_from.get("cameras") if isinstance(made_from, dict) else None
    is_ours = found.get("format") == _FORMAT and isinstance(found.get("is_complete"), bool)
    if not is_ours or not isinstance(cameras, list) or not all(isinstance(name, str) for name in cameras):
        raise DataError(f"{folder / CROPS} is not what ppreid crops writes; remove it, or choose another folder")
    return found


def _write_description(folder: Path, description: Mapping[str, Any]) -> None:
    remove_leftovers(folder, [CROPS])
    write_text(folder / CROPS, json.dumps(description, indent=2) + "\n")
