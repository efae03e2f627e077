"""Features of shards, put together to those of all images."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ppreid.base.errors import DataError
from ppreid.disk.feature_notes import read_notes
from ppreid.disk.feature_writer import Blocks
from ppreid.disk.files import file_sha256
from ppreid.disk.shards import Shard, all_shards, check_shard, lost

_ROWS = 4096  # that are copied at a time


def blocks_of_shards(
    path: Path, count: int, origin: Mapping[str, str], *, num_rows: int, block: int
) -> Callable[[range], Blocks]:
    """What reads features from the files of all shards, which `write_features` wrote with their notes.

    Args:
        path: of the file that they are shards of.
        count: of shards.
        origin: what they were made from, by name, beside the number of the shard.
        num_rows: of all shards.
        block: rows of the blocks that they are made of.

    Returns:
        Some of the rows to their blocks, in order. It raises a DataError when it comes to a file that is damaged.

    Raises:
        ConfigError: there cannot be so many shards.
        DataError: a file is missing, or was made from something else.
    """
    rows_of = {shard: shard.rows(num_rows, block=block) for shard in all_shards(count)}
    rows_of = {shard: rows for shard, rows in rows_of.items() if rows}  # the others have no file
    digests = {shard: _digest(shard.file(path), shard, {**origin, "shard": str(shard)}) for shard in rows_of}

    def blocks_from(rows: range) -> Blocks:
        for shard, own in rows_of.items():
            if own.stop <= rows.start:
                continue
            file = shard.file(path)
            if file_sha256(file) != digests[shard]:
                again = f"run --shard {shard.number}/{count} --overwrite again"
                raise DataError(f"{file} is damaged: it is not what shard {shard} wrote; {again}")
            features = np.load(file, mmap_mode="r", allow_pickle=False)
            for start in range(max(own.start, rows.start), own.stop, _ROWS):
                found = np.arange(start, min(start + _ROWS, own.stop))
                yield features[found - own.start], found

    return blocks_from


def _digest(file: Path, shard: Shard, origin: Mapping[str, str]) -> str:
    """SHA-256 of the file of a shard, as it was written."""
    notes = file.with_name(file.name + ".progress")
    if not file.exists() or not notes.exists():
        raise DataError(lost(file if notes.exists() else notes, shard))
    found = read_notes(notes)
    check_shard(found.origin, origin, file)
    return found.sha256
