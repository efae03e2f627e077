"""Make an index, and add images to it: features of one more part, and what says that it is there."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ppreid.base.errors import ConfigError, DataError
from ppreid.base.records import DatasetContents, ImageRecord
from ppreid.disk.checks import check_folder
from ppreid.search.anew import remove_replaced
from ppreid.search.centred import CENTRED
from ppreid.search.files import (
    CONFIG,
    MANIFEST,
    MAX_PARTS,
    NETWORK,
    Manifest,
    file_names,
    home,
    part_file,
    read_lists,
    read_manifest,
    read_parts,
    require_fit,
    write_lists,
    write_manifest,
)
from ppreid.search.gallery import assign_lists, choose_method, learn_lists
from ppreid.search.threshold import THRESHOLD
from ppreid.search.track_maps import MAPS

logger = logging.getLogger("ppreid")

_ANY_DIM = 4096  # until the features are there
Extract = Callable[[Sequence[ImageRecord], Path], None]  # writes the features of images to an .npy file, records beside


def require_new(folder: Path, *, may_hold: Sequence[str], overwrite: bool) -> None:
    """Refuse a folder that holds anything but the beginning of an index.

    Args:
        folder: to become an index; it need not exist.
        may_hold: names of further files that are no reason to refuse.
        overwrite: refuse nothing.

    Raises:
        ConfigError: the folder holds something.
        WriteError: it cannot be made.
    """
    if overwrite:
        return
    check_folder(folder)
    own = (CONFIG, NETWORK, MAPS, THRESHOLD, *may_hold, "part_0000.", "made_", ".")
    others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(own)] if folder.is_dir() else []
    if others or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder} is not empty ({', '.join(sorted(others)[:3]) or 'a file'}); choose another folder")


def is_complete(folder: Path, contents: DatasetContents, *, method: str, made_with: Mapping[str, str]) -> bool:
    """Whether an index is there already: a call may be killed when its work is done, and be given again.

    Args:
        folder: of the index.
        contents: see `first_part`, as `method` and `made_with`.
        method: of the search.
        made_with: what decides the features, by name.

    Raises:
        ConfigError: there is another index.
        DataError: there is an index, and it is damaged.
    """
    if not (folder / MANIFEST).exists():
        return False
    manifest = read_manifest(folder)
    if not _is_made_of(folder, manifest, contents, method=method, made_with=made_with):
        raise ConfigError(
            f"{folder} holds an index, of other images or another network; `search add` adds images to it. Choose "
            "another folder, or pass --overwrite"
        )
    remove_replaced(folder, manifest.made)
    logger.info("%s is complete already", folder)
    return True


def _is_made_of(
    folder: Path, manifest: Manifest, contents: DatasetContents, *, method: str, made_with: Mapping[str, str]
) -> bool:
    records = _absolute(contents.split.train)
    if len(manifest.parts) > 1 or manifest.made_with != made_with or manifest.cameras != list(contents.camera_names):
        return False
    (part,) = read_parts(folder, manifest)
    is_same = part.names == [record.path for record in records]
    return is_same and manifest.method == choose_method(method, len(records))


def first_part(
    folder: Path, contents: DatasetContents, *, extract: Extract, method: str, made_with: Mapping[str, str], made: int
) -> int:
    """Complete an index whose network and configuration are written.

    Args:
        folder: of the index.
        contents: its images, as training part, and the names of their cameras.
        extract: writes their features; it may go on with what an earlier call began.
        method: "exact", "ivf" or "auto", see `choose_method`.
        made_with: what decides the features, by name.
        made: where its files are, see `make_room`.

    Returns:
        Number of images.

    Raises:
        ConfigError: features are to be centred by camera, and search is to be approximate.
    """
    records, place = _absolute(contents.split.train), home(folder, made)
    method = choose_method(method, len(records))
    if CENTRED in made_with and method != "exact":
        raise ConfigError(
            "eval.camera_centre changes all features whenever images are added, which approximate search cannot "
            "follow; pass --method exact, or -o eval.camera_centre=off"
        )
    manifest = Manifest([len(records)], _ANY_DIM, method, list(contents.camera_names), dict(made_with), {}, made)
    require_fit(folder, manifest)
    _remove_unfinished(place, 0)
    extract(records, place / part_file(0))
    features = np.load(place / part_file(0), mmap_mode="r", allow_pickle=False)
    if method == "ivf":
        write_lists(place, 1, *learn_lists(features))
    write_manifest(folder, manifest._replace(dim=features.shape[1]))
    remove_replaced(folder, made)
    logger.info("%s: %d images, %s search", folder, len(records), method)
    return len(records)


def next_part(folder: Path, manifest: Manifest, contents: DatasetContents, *, extract: Extract) -> int:
    """Add the images that an index does not have yet, by their paths.

    Args:
        folder: of the index.
        manifest: of the index as it is.
        contents: images, as training part, and the names of their cameras.
        extract: see `first_part`.

    Returns:
        Number of images that were added.

    Raises:
        DataError: the index is damaged, or has had too many additions.
    """
    number, place = len(manifest.parts), home(folder, manifest.made)
    if number == MAX_PARTS:
        raise DataError(f"{folder} has had {number - 1:,} additions, which is the limit; make the index anew")
    known = {name for part in read_parts(folder, manifest) for name in part.names}
    cameras = [*manifest.cameras, *(name for name in contents.camera_names if name not in manifest.cameras)]
    records = [
        record._replace(camid=cameras.index(contents.camera_names[record.camid]) if record.camid >= 0 else -1)
        for record in _absolute(contents.split.train)
        if record.path not in known
    ]
    num_known = len(contents.split.train) - len(records)
    logger.info("%d of %d images are in the index already", num_known, len(contents.split.train))
    if not records:
        return 0
    longer = manifest._replace(parts=[*manifest.parts, len(records)], cameras=cameras)
    require_fit(folder, longer)
    _remove_unfinished(place, number)
    extract(records, place / part_file(number))
    if manifest.method == "ivf":
        features = np.load(place / part_file(number), mmap_mode="r", allow_pickle=False)
        centroids, lists = read_lists(folder, manifest)
        write_lists(place, number + 1, centroids, np.concatenate([lists, assign_lists(centroids, features)]))
    write_manifest(folder, longer)
    for name in set(file_names(number, manifest.method)) - set(file_names(number + 1, manifest.method)):
        (place / name).unlink()  # the inverted lists of before
    remove_replaced(folder, manifest.made)
    logger.info("%s: %d images added, %d in all", folder, len(records), sum(manifest.parts) + len(records))
    return len(records)


def _absolute(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Records that mean the same images from every directory."""
    return [record._replace(path=os.path.abspath(record.path)) for record in records]


def _remove_unfinished(place: Path, number: int) -> None:
    """Remove a part that was written by a call that did not get to its end; it is extracted again."""
    for path in (place / part_file(number), (place / part_file(number)).with_suffix(".csv")):
        path.unlink(missing_ok=True)
