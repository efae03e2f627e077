"""The folder of a search index: which files there are, what they must be, and their checksums.

    index.json             what the index is, and the SHA-256 of every other file; written last, replaced as a whole
    config.yaml            how images are read and what the network is
    network.safetensors    the network
    part_0000.npy, .csv    features and records; an addition to the index is one more part, older ones stay
    lists_0001.safetensors inverted lists over so many parts, for approximate search only
    tracks.safetensors     maps learned from tracks, only where the index compares behind such
    made_0001/             all but index.json, of an index that was made anew in place of another; index.json decides

Nothing in these files is run, and names of files are never read from them.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.errors import DataError
from ppreid.base.reading import is_there, reading
from ppreid.disk.features import Features, read_features
from ppreid.disk.files import file_sha256, write_text
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.disk.text import MAX_DIGITS, MAX_JSON, read_json
from ppreid.search.track_maps import MAPS, WITHIN_TRACKS

FORMAT, VERSION = "ppreid search index", 3
_READ_VERSIONS = (1, 2, VERSION)  # the first knew no index that was made anew, the second no maps of tracks
MAX_PARTS = 10_000  # additions to an index, each of which is two files
SKIPPED = "part_{:04d}.bad_images.txt"
MANIFEST, CONFIG, NETWORK = "index.json", "config.yaml", "network.safetensors"


class Manifest(NamedTuple):
    """Contents of index.json.

    Attributes:
        parts: number of images of each part.
        dim: of a feature, D.
        method: "exact" or "ivf".
        cameras: name of each camera, entry i of camid i.
        made_with: what decides the features, by name: network, image size, and the source and SHA-256 of the weights.
        files: SHA-256 of every other file of the index, by name.
        made: how often an index in this folder was made anew, which decides where the other files are.
    """

    parts: list[int]
    dim: int
    method: str
    cameras: list[str]
    made_with: dict[str, str]
    files: dict[str, str]
    made: int = 0


def home(folder: Path, made: int) -> Path:
    """Where the files of an index are that was made anew so many times; the folder of the first one holds them itself.

    So the files of one index are complete before index.json, from one moment to the next, stops meaning the other's.
    """
    return folder / f"made_{made:04d}" if made else folder


def part_file(number: int) -> str:
    """Name of the features of a part; its records are in a CSV of the same name."""
    return f"part_{number:04d}.npy"


def lists_file(num_parts: int) -> str:
    """Name of the inverted lists over the first parts."""
    return f"lists_{num_parts:04d}.safetensors"


def skipped_by_next_part(folder: Path, manifest: Manifest) -> Path:
    """List of the images that an addition leaves out since they cannot be read."""
    return home(folder, manifest.made) / SKIPPED.format(len(manifest.parts))


def file_names(num_parts: int, method: str, made_with: Collection[str] = ()) -> list[str]:
    """Files that an index consists of, beside index.json; the names of what it is made with say whether it has maps."""
    parts = [part_file(number) for number in range(num_parts)]
    records = [str(Path(name).with_suffix(".csv")) for name in parts]
    own = [CONFIG, NETWORK, MAPS] if WITHIN_TRACKS in made_with else [CONFIG, NETWORK]
    return [*own, *parts, *records, *([lists_file(num_parts)] if method == "ivf" else [])]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make the files of an index valid, from one moment to the next; `manifest.files` is filled in here."""
    names = file_names(len(manifest.parts), manifest.method, manifest.made_with)
    sums = {name: file_sha256(home(folder, manifest.made) / name) for name in names}
    write_text(folder / MANIFEST, _text(folder, manifest._replace(files=sums)))


def require_fit(folder: Path, manifest: Manifest) -> None:
    """Find out before the features are extracted whether index.json has room for the cameras.

    Raises:
        DataError: it has not.
    """
    names = file_names(len(manifest.parts), manifest.method, manifest.made_with)
    _text(folder, manifest._replace(files=dict.fromkeys(names, "0" * 64)))


def _text(folder: Path, manifest: Manifest) -> str:
    text = json.dumps({"format": FORMAT, "version": VERSION, **manifest._asdict()}, indent=2) + "\n"
    if len(text) > MAX_JSON:
        cameras = f"{folder} would have {len(manifest.cameras):,} cameras, more than fit into {MANIFEST}"
        raise DataError(f"{cameras}; is the camera the right part of the paths?")
    return text


def read_manifest(folder: Path) -> Manifest:
    """Read index.json and check every file of the index against its SHA-256.

    Raises:
        DataError: there is no index, it is of another version, or a file is missing, damaged or has been exchanged.
    """
    manifest = manifest_alone(folder)
    for name, digest in manifest.files.items():
        file = home(folder, manifest.made) / name
        if not is_there(file, DataError):
            raise DataError(f"{file} is missing; restore it, or make the index anew")
        with reading(file, DataError):
            found = file_sha256(file)
        if found != digest:
            raise DataError(f"{file} is damaged or of another index (its SHA-256 is not that in {MANIFEST})")
    return manifest


def manifest_alone(folder: Path) -> Manifest:
    """Read index.json, and nothing else.

    Raises:
        DataError: there is no index, it is of another version, or index.json is damaged.
    """
    require_index(folder)
    path = folder / MANIFEST
    content = read_json(path)
    if content.pop("format", None) != FORMAT:
        raise DataError(f"{path} does not describe a search index of ppreid")
    if (version := content.pop("version", None)) not in _READ_VERSIONS:
        raise DataError(f"{folder} is an index of version {version!r}, but this ppreid reads {VERSION}; make it anew")
    return _checked(content, path)


def require_index(folder: Path) -> None:
    """Find out whether a folder is an index, before anything is done in it.

    Raises:
        DataError: it is none, or cannot be looked into.
    """
    if not is_there(folder / MANIFEST, DataError):
        raise DataError(f"{folder} holds no search index (no {MANIFEST}); `search index` makes one")


def read_parts(folder: Path, manifest: Manifest) -> list[Features]:
    """The parts of an index; features are memory-mapped.

    Raises:
        DataError: a part is not what index.json says.
    """
    parts = []
    for number, count in enumerate(manifest.parts):
        path = home(folder, manifest.made) / part_file(number)
        part = read_features(path)
        if part.features.shape != (count, manifest.dim) or part.features.dtype != np.float32:
            raise DataError(f"{path} holds {part.features.shape}, not {(count, manifest.dim)}")
        if part.camids.max(initial=-1) >= len(manifest.cameras) or part.camids.min(initial=0) < -1:
            raise DataError(f"the cameras of {part_file(number)} in {folder} are not those of {MANIFEST}")
        parts.append(part)
    return parts


def write_lists(place: Path, num_parts: int, centroids: np.ndarray, lists: np.ndarray) -> None:
    """Write inverted lists beside the parts: centroids (L, D) and the list (N,) of every image of all of them."""
    save_tensors(place / lists_file(num_parts), {"centroids": centroids, "lists": lists}, {})


def read_lists(folder: Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Centroids (L, D) and the list (N,) of every image, int64.

    Raises:
        DataError: they do not fit the index.
    """
    path = home(folder, manifest.made) / lists_file(len(manifest.parts))
    tensors = load_tensors(path).tensors
    centroids, lists = tensors.get("centroids", np.empty(0)), tensors.get("lists", np.empty(0, np.int64))
    fits = centroids.ndim == 2 and centroids.shape[1] == manifest.dim and lists.shape == (sum(manifest.parts),)
    if not fits or centroids.dtype != np.float32 or lists.dtype != np.int64 or not _within(lists, len(centroids)):
        raise DataError(f"{path} does not fit the index; make the index anew")
    return centroids, lists


def _checked(content: dict[str, Any], path: Path) -> Manifest:
    """The fields of index.json with the right types, and no file but those of an index."""
    try:
        manifest = Manifest(**content)
        is_right = (
            isinstance(manifest.parts, list)
            and isinstance(manifest.cameras, list)
            and 0 < len(manifest.parts) <= MAX_PARTS
            and all(type(count) is int and 0 < count < 10**MAX_DIGITS for count in [*manifest.parts, manifest.dim])
            and all(isinstance(text, str) for text in [*manifest.cameras, *manifest.files.values()])
            and all(isinstance(text, str) for pair in manifest.made_with.items() for text in pair)
            and manifest.method in ("exact", "ivf")
            and type(manifest.made) is int
            and 0 <= manifest.made < 10**MAX_DIGITS
            and set(manifest.files) == set(file_names(len(manifest.parts), manifest.method, manifest.made_with))
        )
    except (TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); make the index anew") from None
    if not is_right:
        raise DataError(f"{path} is damaged: its fields or its list of files are not those of an index; make it anew")
    return manifest


def _within(lists: np.ndarray, num_lists: int) -> bool:
    return bool(lists.min(initial=0) >= 0 and lists.max(initial=-1) < num_lists)
