"""An index that takes the place of another: where its files go, and what becomes of those of the other one."""

import re
from contextlib import suppress
from pathlib import Path

from ppreid.base.errors import DataError
from ppreid.disk.files import explained
from ppreid.search.files import CONFIG, MANIFEST, NETWORK, home, manifest_alone
from ppreid.search.track_maps import MAPS

_OWN_FILES = (CONFIG, NETWORK, MAPS, "part_[0-9]*.*", "lists_[0-9]*.safetensors")  # beside index.json


def make_room(folder: Path, *, overwrite: bool) -> int:
    """Find a place for an index that has yet to be made, which is that of an earlier call that was interrupted.

    Args:
        folder: of the index; it exists.
        overwrite: the index may take the place of one that is there. That can be searched as before until the new one
            is complete.

    Returns:
        Where the files go, see `ppreid.search.files.home`.

    Raises:
        WriteError: there can be no such place.
    """
    if not (overwrite and (folder / MANIFEST).exists()):
        return 0
    try:
        made = manifest_alone(folder).made + 1
    except DataError:  # whose files are whose is not known then, and none is written over
        made = max(_made_folders(folder), default=0) + 1
    with explained(folder):
        home(folder, made).mkdir(exist_ok=True)
    return made


def remove_replaced(folder: Path, made: int) -> None:
    """Remove the files of the indexes that the one in this folder has replaced, and no others.

    Args:
        folder: of the index.
        made: how often it was made anew.

    Raises:
        WriteError: they cannot be removed.
    """
    places = [place for number, place in sorted(_made_folders(folder).items()) if number < made]
    with explained(folder):
        for place in [folder, *places] if made else []:
            for file in [file for pattern in _OWN_FILES for file in place.glob(pattern)]:
                file.unlink()
        for place in places:
            with suppress(OSError):  # somebody has put a file of his own there
                place.rmdir()


def _made_folders(folder: Path) -> dict[int, Path]:
    """The folders below one that hold files of an index which was made anew, by how often it was."""
    found = {re.fullmatch(r"made_(\d{4,18})", place.name): place for place in folder.glob("made_*")}
    return {int(match[1]): place for match, place in found.items() if match and not place.is_symlink()}
