"""Reading files that may be damaged or hostile: every failure is explained, and no length in a file is believed."""

import pickle
import pickletools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from zipfile import BadZipFile

from ppreid.base.errors import WeightsError
from ppreid.base.reading import reading

MAX_OPCODES = 1_000_000  # a state dict of 1,000 tensors has about 40,000

# What the pickle and the zip machine raise on damaged input, depending on where the damage is.
DAMAGED = (
    pickle.UnpicklingError,
    BadZipFile,
    EOFError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
)


@contextmanager
def explained_damage(path: Path, kind: str) -> Iterator[None]:
    """Whatever damaged input makes the block raise becomes a WeightsError that names the file and its kind."""
    try:
        with reading(path, WeightsError):
            yield
    except DAMAGED as error:
        raise WeightsError(
            f"{path} cannot be read as {kind}: {type(error).__name__}: {error}. "
            "The file is truncated, damaged or of another kind; fetch or write it again"
        ) from error


@contextmanager
def mapped(path: Path) -> Iterator[mmap]:
    """A file as mapped memory: a read of more bytes than there are costs nothing, unlike with an ordinary file."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def check_opcodes(content: BytesIO | mmap) -> None:
    """Walk over one pickle without running it; refuse what would make the machine allocate more than the file holds.

    Lengths beyond the end of the file are errors of `pickletools.genops`.
    """
    for number, (opcode, argument, _position) in enumerate(pickletools.genops(content)):  # type: ignore[arg-type]
        if number == MAX_OPCODES:
            raise ValueError(f"it has more than {MAX_OPCODES:,} instructions")
        # the machine's list of remembered objects grows to the highest index, which is at most their number
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > number:
            raise ValueError(f"it remembers object {argument} after {number} instructions")
