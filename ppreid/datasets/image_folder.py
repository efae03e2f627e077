"""Any folder of images, about which nothing else is known."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import DataError
from ppreid.base.reading import folder_is_there
from ppreid.base.records import ImageRecord
from ppreid.datasets.folder_layout import IMAGE_SUFFIXES, describe_entries

# Files and folders that operating systems, synchronisation and network drives leave behind; some hold thumbnails.
SYSTEM_NAMES = frozenset(
    {"thumbs.db", "desktop.ini", "@eadir", "#recycle", "__macosx", "$recycle.bin", "system volume information"}
) | {"lost+found"}
_SHOWN = 8  # suffixes that a sentence lists


class FolderScan(NamedTuple):
    """Images of a folder and its subfolders.

    Attributes:
        names: paths relative to the folder, with / between the parts, sorted.
        hidden: files and folders left out because their name starts with a dot.
        system: files and folders left out because their name is one of SYSTEM_NAMES.
        linked_folders: links to folders, which are not followed: they may lead round in a circle.
        others: files left out because of their suffix, by suffix.
    """

    names: list[str]
    hidden: int
    system: int
    linked_folders: int
    others: Counter[str]

    def left_out(self) -> str:
        """What was left out, in words; empty when nothing was."""
        counts = [
            (self.hidden, "hidden files and folders"),
            (self.system, "files and folders of the operating system"),
            (self.linked_folders, "links to folders"),
            (sum(self.others.values()), f"files that are no images by their suffix ({self._suffixes()})"),
        ]
        return ", ".join(f"{count:,} {what}" for count, what in counts if count)

    def _suffixes(self) -> str:
        shown = [f"{suffix or 'none'}: {count:,}" for suffix, count in self.others.most_common(_SHOWN)]
        return ", ".join(shown + ["..."] * (len(self.others) > _SHOWN))


def scan_folder(folder: Path) -> FolderScan:
    """Find the images of a folder and its subfolders by their suffix; no file is opened.

    Args:
        folder: where to look.

    Returns:
        What was found. A link to nowhere counts as an image if its name says so, so that it will be noticed.

    Raises:
        DataError: there is no such folder, or a folder cannot be read.
    """
    if not folder_is_there(folder, DataError):
        raise DataError(f"no image to use in {folder.absolute()}; {describe_entries(folder)}")
    names: list[str] = []
    counts, others = Counter[str](), Counter[str]()
    waiting = [""]
    try:
        while waiting:
            prefix = waiting.pop()
            with os.scandir(folder / prefix) as entries:
                for entry in entries:
                    suffix = os.path.splitext(entry.name)[1].lower()
                    if entry.name.startswith("."):
                        counts["hidden"] += 1
                    elif entry.name.lower() in SYSTEM_NAMES:
                        counts["system"] += 1
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{prefix}{entry.name}/")
                    elif entry.is_symlink() and entry.is_dir():
                        counts["linked_folders"] += 1
                    elif suffix in IMAGE_SUFFIXES:
                        names.append(prefix + entry.name)
                    else:
                        others[suffix] += 1
    except OSError as error:
        raise DataError(f"cannot look into {error.filename or folder}: {error.strerror}; make it readable") from error
    return FolderScan(sorted(names), counts["hidden"], counts["system"], counts["linked_folders"], others)


def find_images(folder: Path) -> tuple[ImageRecord, ...]:
    """Images of a folder and its subfolders, see `scan_folder`.

    Args:
        folder: where to look.

    Returns:
        One record per image, sorted by path; identity and camera are -1, unknown.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    names = scan_folder(folder).names
    if not names:
        raise DataError(f"no image to use in {folder.absolute()}; {describe_entries(folder)}")
    return tuple(ImageRecord(os.path.join(folder, name), pid=-1, camid=-1) for name in names)
