"""Checks of weights files: whether there is one, of which kind it is, and whether its numbers can be a network's."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import numpy as np

from ppreid.base.errors import WeightsError

TORCH, PICKLE, SAFETENSORS = "torch", "pickle", "safetensors"
# what a name promises, where the content does not say it; the message then is about a damaged file of that kind
PROMISED = {".safetensors": SAFETENSORS, ".pdparams": PICKLE} | dict.fromkeys(
    (".pth", ".pth.tar", ".pt", ".bin"), TORCH
)

HEAD_BYTES = 512
_ARCHIVE = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# torch's layout without an archive: the first pickle is this number
_TORCH_NUMBER = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
# what people take for weights, by its first bytes
_OTHERS = {
    b"version https://git-lfs": "it is a pointer of Git LFS and not the file itself; fetch it with git lfs pull",
    b"<": "it is a web page; the download failed, fetch it again",
    b"\x93NUMPY": "it is a numpy array; weights are several arrays with names",
    b"\x89HDF": "it is an HDF5 file; write the arrays as .safetensors",
    b"\x1f\x8b": "it is compressed with gzip; decompress it first",
    b"7z\xbc\xaf": "it is compressed with 7-Zip; decompress it first",
    b"Rar!": "it is a RAR archive; unpack it first",
}


def kind_of(path: Path, head: bytes) -> str | None:
    """Recognise a weights file.

    Args:
        path: its name decides where the content does not.
        head: its first HEAD_BYTES bytes.

    Returns:
        TORCH, PICKLE or SAFETENSORS; None if neither content nor name is of one of these.
    """
    if head.startswith(_ARCHIVE):
        return TORCH
    # the length of the header, which is far below 2^32, and the header, which is JSON
    if head[4:9] == b"\0\0\0\0{":
        return SAFETENSORS
    if head.startswith(_PICKLES):
        return TORCH if head[2:].startswith(_TORCH_NUMBER) else PICKLE
    if strange_content(head):
        return None
    return next((kind for suffix, kind in PROMISED.items() if path.name.endswith(suffix)), None)


def strange_content(head: bytes) -> str:
    """What a file that is no weights file is, and what to do, as far as its first bytes say; "" if they do not."""
    if not head:
        return "it is empty"
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it first"
    return next((text for start, text in _OTHERS.items() if head.lstrip().startswith(start)), "")


SUFFIXES = (".safetensors", ".pdparams", ".pth", ".pth.tar", ".pt", ".bin", ".ckpt")
NETWORKS = ("checkpoint_best.safetensors", "checkpoint_last.safetensors", "network.safetensors")  # of ours, best first
MAX_LOOKED_AT, MAX_NAMED = 10_000, 3  # entries of the folder, and names in a message


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


_VARIANCE = re.compile(r"(^|\.)(running_var|_variance)$")  # of torch and of paddle, in every naming


def check_numbers(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse tensors that hold NaN, infinities, or variances below zero.

    A single NaN may go unnoticed otherwise: a ReLU on the CPU makes zero of it, and all images get nearly the same
    feature. Numbers are judged as the float32 that the network computes in.

    Args:
        path: where they are from, for the message.
        tensors: arrays by name, as in the file; those of integers are not looked at.

    Raises:
        WeightsError: with the number of such tensors, the first names and how many numbers of each.
    """
    bad = {name: problem for name, array in tensors.items() if (problem := _problem(name, array))}
    if not bad:
        return
    first = "; ".join(f"{name}: {problem}" for name, problem in list(bad.items())[:MAX_NAMED])
    rest = f"; and {len(bad) - MAX_NAMED} more tensors" if len(bad) > MAX_NAMED else ""
    raise WeightsError(
        f"{path} was refused: {len(bad)} of its {len(tensors)} tensors hold numbers that no trained network has. "
        f"{first}{rest}. The training that wrote it diverged, or the file was damaged or converted to a type that is "
        "too small: take an earlier checkpoint, or fetch or write it again, in float32"
    )


def _problem(name: str, array: np.ndarray) -> str:
    """What is wrong with a tensor; "" if nothing is."""
    if array.dtype.kind != "f":
        return ""
    with np.errstate(over="ignore"):  # of float64 to float32: it becomes infinite, which is what is looked for
        numbers = array.astype(np.float32, copy=False)
    counts = {"NaN": np.isnan(numbers).sum(), "infinite": np.isinf(numbers).sum()}
    if array.dtype == np.float16:
        # a cast that clips leaves the largest float16 where the number was larger
        counts["65,504, where float16 ends"] = (np.abs(numbers) == np.finfo(np.float16).max).sum()
    if _VARIANCE.search(name):
        counts["negative, which a variance cannot be"] = (numbers < 0).sum()
    wrong = [f"{count:,} of {array.size:,} are {what}" for what, count in counts.items() if count]
    return ", ".join(wrong)
