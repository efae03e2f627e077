"""Find a data set on disk and read folders of images whose names carry identity and camera.

Market-1501, DukeMTMC-reID, VeRi-776 and the converted form of MSMT17 share one layout: three folders of images named
`<identity>_c<camera>...`, for example `0002_c1s1_000451_03.jpg`. What they share lives here, the rest in one file each.
"""

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ppreid.base.errors import DataError
from ppreid.base.reading import EntriesError, complete, folder_is_there, gathered
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.disk.text import MAX_DIGITS

BOUNDING_BOX_LAYOUT = ("bounding_box_train", "query", "bounding_box_test")
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2"}
)
JUNK_PID = -1

_NAME_PATTERN = re.compile(rf"(-1|\d{{1,{MAX_DIGITS}}})_c0*([1-9]\d{{0,{MAX_DIGITS - 1}}})(?!\d)")
_SHOWN = 12  # entries of a folder that an error message lists


def find_dataset_folder(
    root: Path, *, title: str, names: Sequence[str], layouts: Sequence[tuple[str, ...]]
) -> tuple[Path, tuple[str, ...]]:
    """Folder that holds a data set, and the layout it has.

    Args:
        root: `data.root`: the folder of the data set itself, or the folder that holds it under one of `names`.
        title: name of the data set for the error message.
        names: folder names (or relative paths) that are looked for inside `root`; the first is the official one.
        layouts: alternative layouts, each the files and folders that must exist.

    Returns:
        The folder and the first of `layouts` that it satisfies.

    Raises:
        DataError: nothing fits; the message shows the expected tree and what was found. Or several folders fit.
    """
    root = Path(root).expanduser()
    folder_is_there(root, DataError)  # says why it cannot be read; that it is missing is said with what is expected
    fits = [(root, layout) for layout in layouts if _has_layout(root, layout)]
    if fits:
        return fits[0]
    for name in names:
        folder = root / name
        layout = next((layout for layout in layouts if _has_layout(folder, layout)), None)
        if layout and not any(folder.samefile(other) for other, _ in fits):
            fits.append((folder, layout))
    if not fits:
        raise DataError(_missing_message(root, title, names, layouts))
    if len(fits) > 1:
        folders = ", ".join(str(folder) for folder, _ in fits)
        raise DataError(f"{len(fits)} folders look like {title}: {folders}; set data.root to the one you mean")
    return fits[0]


def read_split(folder: Path, part_folders: Sequence[str], *, pid_offset: int = 0) -> ReIDSplit:
    """Read the training, query and gallery folder, in this order, of a data set.

    Args:
        folder: folder of the data set.
        part_folders: names of its three folders.
        pid_offset: added to every identity.

    Returns:
        The records of the three parts.

    Raises:
        EntriesError: what `read_image_folder` says of any of the folders.
    """
    problems: list[str] = []
    readers = [partial(read_image_folder, folder / name, pid_offset=pid_offset) for name in part_folders]
    return complete(problems, ReIDSplit(*(gathered(problems, read, tuple[ImageRecord, ...]()) for read in readers)))


def read_image_folder(folder: Path, *, pid_offset: int = 0) -> tuple[ImageRecord, ...]:
    """Read one folder of images named `<identity>_c<camera>...`.

    Hidden files and files that are no images by their suffix are ignored; junk (identity -1) is dropped.

    Args:
        folder: folder of images; its subfolders are not read.
        pid_offset: added to every identity.

    Returns:
        One record per image, sorted by path; cameras, counted from 1 in the names, are 0-based.

    Raises:
        DataError: no image is left, or the folder cannot be read.
        EntriesError: a name does not parse.

    Note:
        The released code matches the pattern anywhere in the full path, where a parent folder such as `1_c2` can
        match first; here it must match at the beginning of the file name.
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir() if is_image_name(entry.name))
    except OSError as error:
        raise DataError(f"cannot look into {folder}: {error.strerror}; make it readable") from None
    matches = [(name, _NAME_PATTERN.match(name)) for name in names]
    records = tuple(
        ImageRecord(str(folder / name), int(match[1]) + pid_offset, int(match[2]) - 1)
        for name, match in matches
        if match and int(match[1]) != JUNK_PID
    )
    raise_if_unparsed([name for name, match in matches if not match], folder, "0002_c1s1_000451_03.jpg", records)
    if not records:
        raise DataError(f"no image to use in {folder.absolute()}; {describe_entries(folder)}")
    return records


def is_image_name(name: str) -> bool:
    """Whether a file name is that of an image, by its suffix, and not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def raise_if_unparsed(unparsed: Sequence[str], source: Path, example: str, rest: Sequence[object]) -> None:
    """Raise when some names or lines of a source were not understood.

    Args:
        unparsed: the names or lines that do not fit.
        source: folder or list file that they come from.
        example: a name or line that would fit.
        rest: those that were understood.

    Raises:
        EntriesError: `unparsed` is not empty; the message shows the first five and their number.
    """
    if unparsed:
        first = ", ".join(repr(name) for name in unparsed[:5])
        text = (
            f"{len(unparsed):,} entries of {source.absolute()} do not carry identity and camera as in {example!r}: "
            f"{first}{', ...' if len(unparsed) > 5 else ''}; rename or remove them (numbers have at most "
            f"{MAX_DIGITS} digits)"
        )
        raise EntriesError([text], rest)


def describe_entries(folder: Path) -> str:
    """Sentence that lists what a folder holds, cut to a dozen entries.

    Args:
        folder: folder to look into; it may be missing.

    Returns:
        For example "found in /data: images/, readme.txt".
    """
    where = folder.absolute()
    try:
        if not os.path.exists(folder):
            return f"{where} does not exist"
        if not folder.is_dir():
            return f"{where} is not a folder"
        entries = sorted(entry.name + ("/" if os.path.isdir(entry) else "") for entry in folder.iterdir())
    except OSError as error:
        return f"{where} cannot be looked into: {error.strerror}"
    more = f", ... ({len(entries) - _SHOWN:,} more)" if len(entries) > _SHOWN else ""
    return f"found in {where}: {', '.join(entries[:_SHOWN]) or 'nothing'}{more}"


def _has_layout(folder: Path, layout: tuple[str, ...]) -> bool:
    # unlike those of pathlib, these two never raise, for example for want of permission
    return all((os.path.isfile if _is_list(entry) else os.path.isdir)(folder / entry) for entry in layout)


def _is_list(entry: str) -> bool:
    return entry.endswith(".txt")


def _missing_message(root: Path, title: str, names: Sequence[str], layouts: Sequence[tuple[str, ...]]) -> str:
    trees = ["\n".join(f"    {entry}{'' if _is_list(entry) else '/'}" for entry in layout) for layout in layouts]
    looked_at = [root, *(root / name for name in names if os.path.isdir(root / name))]
    return "\n".join(
        [
            f"no {title} data set at data.root = {root.absolute()}",
            f"expected, in that folder or in its subfolder {names[0]}/:",
            "\n  or\n".join(trees),
            *(describe_entries(folder) for folder in looked_at),
            f"other subfolder names that are accepted: {', '.join(names[1:]) or 'none'}",
        ]
    )
