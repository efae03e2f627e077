"""What to say about a weights file that is not there."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

SUFFIXES = (".safetensors", ".pdparams", ".pth", ".pth.tar", ".pt", ".bin", ".ckpt")
NETWORKS = ("checkpoint_best.safetensors", "checkpoint_last.safetensors", "network.safetensors")  # of ours, best first
MAX_LOOKED_AT, MAX_NAMED = 10_000, 3  # entries of the folder, and names in the message


def missing_weights(path: Path) -> str:
    """A sentence for a path that leads nowhere: how far it leads, which file may be meant, and what to do."""
    folder = path.parent
    if not _is_folder(folder):
        there = next((parent for parent in folder.parents if _is_folder(parent)), Path("."))
        return f"there is no weights file {path}: there is no folder {folder} ({there} is there); {_otherwise()}"
    names = [entry.name for entry in islice(_entries(folder), MAX_LOOKED_AT)]
    near = _near(path.name, names)
    if near:
        meant = " or ".join(str(folder / name) for name in near)
        return f"there is no weights file {path}; did you mean {meant}?"
    others = sorted(name for name in names if name.endswith(SUFFIXES))
    if others:
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        return f"there is no weights file {path}; {folder} holds {', '.join(others[:MAX_NAMED])}{more}; {_otherwise()}"
    return f"there is no weights file {path}, and no other one in {folder}; {_otherwise()}"


def folder_of_weights(path: Path) -> str:
    """A sentence for a path that is a folder, with the file in it that is probably meant."""
    found = [name for name in NETWORKS if (path / name).is_file()]
    meant = f"; did you mean {path / found[0]}?" if found else "; give a file of weights"
    return f"cannot read {path}: it is a folder{meant}"


def _near(name: str, names: list[str]) -> list[str]:
    """The names that may be meant, best first: the same with a suffix, with another one, or one that looks similar."""
    same = sorted(other for other in names if other in {name + suffix for suffix in SUFFIXES})
    stems: dict[str, list[str]] = {}
    for other in sorted(names):
        if other.endswith(SUFFIXES):
            stems.setdefault(_stem(other), []).append(other)
    similar = get_close_matches(_stem(name), stems, n=MAX_NAMED, cutoff=0.7)
    return list(dict.fromkeys([*same, *(other for stem in similar for other in stems[stem])]))[:MAX_NAMED]


def _stem(name: str) -> str:
    """A name without the longest suffix of weights that it has."""
    found = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    return name.removesuffix(max(found, key=len)) if found else name


def _otherwise() -> str:
    return "give the path of one (-o model.weights=FILE); docs/weights.md says which kinds there are and from where"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> Iterator[Path]:
    """What is in a folder; nothing in one that may not be looked into."""
    try:
        yield from folder.iterdir()
    except OSError:
        return
