"""What an index has learned from tracks: the maps behind which network and colour are compared, and their file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ppreid.base.errors import DataError
from ppreid.disk.tensor_file import load_tensors, read_facts, save_tensors

if TYPE_CHECKING:
    from ppreid.neighbours.within_tracks import WithinTracks

WITHIN_TRACKS = "within tracks"  # a fact of an index that has such maps
MAPS = "tracks.safetensors"
OF_NETWORK, OF_COLOUR = "network", "colour"  # which of the two a map is of
FACTS = "made with"


def write_maps(path: Path, maps: Mapping[str, WithinTracks], made_with: Mapping[str, str]) -> None:
    """Write maps, by what they are of, and what decides them."""
    save_tensors(path, {name: each.lower for name, each in maps.items()}, {FACTS: dict(made_with)})


def are_made_with(path: Path, made_with: Mapping[str, Any]) -> bool:
    """Whether a file has the maps that these facts decide, as an interrupted call leaves them; there may be none."""
    return read_facts(path).get(FACTS) == made_with


def read_maps(path: Path, dims: Mapping[str, int]) -> dict[str, WithinTracks]:
    """Read maps.

    Args:
        path: the file.
        dims: D of each, by what it is of.

    Raises:
        DataError: they are others, or have other shapes.
        WeightsError: the file is missing or damaged.
    """
    from ppreid.neighbours.within_tracks import WithinTracks

    tensors = load_tensors(path).tensors
    if tensors.keys() != dims.keys() or not all(_is_lower(tensors[name], dim) for name, dim in dims.items()):
        raise DataError(f"{path} holds no maps that fit the features of the index; make the index anew")
    return {name: WithinTracks(tensors[name]) for name in dims}


def maps_digest(maps: Mapping[str, WithinTracks]) -> str:
    """SHA-256 of all their numbers."""
    return hashlib.sha256(b"".join(maps[name].lower.tobytes() for name in sorted(maps))).hexdigest()


def _is_lower(found: np.ndarray, dim: int) -> bool:
    """Whether a map can be made of it."""
    if found.shape != (dim, dim) or found.dtype != np.float64 or not np.isfinite(found).all():
        return False
    return bool((np.diagonal(found) > 0).all() and not np.triu(found, 1).any())
