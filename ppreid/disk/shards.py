"""Shards: parts of a work that are done in any order, by any machine that sees the same files, and put together.

A shard is a range of rows that ends where a block ends, and blocks do not depend on the number of shards: what is
computed block by block is the same whatever it is. Its file is whole or not there, and says what it was made from.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import ConfigError, DataError, WeightsError
from ppreid.disk.tensor_file import load_tensors, read_facts, save_tensors

MOST_SHARDS = 100_000  # a folder of more files is slow to list


class Shard(NamedTuple):
    """One of the parts of a work.

    Attributes:
        number: of the part, from 1.
        total: of all parts.
    """

    number: int
    total: int

    def __str__(self) -> str:
        """As messages and facts have it."""
        return f"{self.number} of {self.total}"

    def rows(self, num_rows: int, *, block: int) -> range:
        """The rows of this part of `num_rows`, whole blocks but for the end; none where there are fewer blocks."""
        blocks = -(-num_rows // block)
        first, stop = ((place * blocks // self.total) * block for place in (self.number - 1, self.number))
        return range(min(first, num_rows), min(stop, num_rows))

    def file(self, path: Path) -> Path:
        """Name of the file of this part, from that of the whole."""
        return path.with_name(f"{path.stem}.{self.number}-of-{self.total}{path.suffix}")


def all_shards(count: int) -> list[Shard]:
    """All parts of a work.

    Raises:
        ConfigError: there cannot be so many.
    """
    if not 1 <= count <= MOST_SHARDS:
        raise ConfigError(f"a work of {count:,} shards was asked for; expected 1 to {MOST_SHARDS:,}")
    return [Shard(number, count) for number in range(1, count + 1)]


def parse_shard(text: str) -> Shard:
    """The shard that "3/16" means.

    Raises:
        ConfigError: it is no number from 1 to the number of shards.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.total <= MOST_SHARDS:
        raise ConfigError(f"--shard takes NUMBER/SHARDS, for example 3/16, and counts from 1; found {text!r}")
    return shard


def check_shard(found: Mapping[str, object], wanted: Mapping[str, object], path: Path) -> None:
    """Refuse a shard that was made from something else, or is another one under this name.

    Args:
        found: what its file says that it was made from.
        wanted: what it should have been made from.
        path: of the file.

    Raises:
        DataError: they differ; the message names what does.
    """
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        raise DataError(
            f"{path} was made with another {', '.join(differing)}; delete it and make it again, or give the same "
            "images, weights and settings as it was made with"
        )


def make_shard(path: Path, facts: Mapping[str, object], arrays: Callable[[], Mapping[str, np.ndarray]]) -> bool:
    """Write the file of a shard, unless it is there.

    Args:
        path: of the file; its folder must exist.
        facts: JSON values of what it is made from, by name.
        arrays: gives its arrays, by name.

    Returns:
        Whether there was anything to do.

    Raises:
        DataError: there is a file that was made from something else.
        WriteError: it cannot be written.
    """
    if path.exists():
        check_shard(read_facts(path), facts, path)
        return False
    save_tensors(path, arrays(), facts)
    return True


def read_shard(path: Path, facts: Mapping[str, object], *, shard: Shard) -> dict[str, np.ndarray]:
    """The arrays of the file of a shard.

    Raises:
        DataError: it is missing or damaged, or was made from something else.
    """
    if not path.exists():
        raise DataError(lost(path, shard))
    try:
        found = load_tensors(path)
    except WeightsError as error:
        raise DataError(f"{error}; delete it and run --shard {shard.number}/{shard.total} again") from None
    check_shard(found.facts, facts, path)
    return found.tensors


def lost(path: Path, shard: Shard) -> str:
    """That a shard is missing, and what to do."""
    return f"{path} is missing: shard {shard} is not done; run --shard {shard.number}/{shard.total} first"
