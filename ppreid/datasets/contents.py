"""Whether the images of a data set are still the same files, without reading all of them."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ppreid.base.records import ImageRecord

ENDS = 4096  # bytes that are read at the start and at the end of a file; most crops are not larger than both together
_FILES_AT_A_TIME = 4096


def contents_digest(records: Sequence[ImageRecord], *, identities: bool = False, num_workers: int = 4) -> str:
    """A digest of a list of images: it changes when an image is removed, added, moved to another place or replaced.

    It covers the number and order of the images and, of each, the file name without its folder (a data set may move),
    the camera, the size of the file, and its first and last 4,096 bytes. A file that cannot be read counts as one of
    its own kind; who reads the image says why. So at most 8 KB of a file are read, however large it is.

    Args:
        records: the images; the order counts.
        identities: cover the identities as well, where results depend on them (query and gallery).
        num_workers: threads; 0 means one.

    Returns:
        64 hexadecimal digits.

    Note:
        A change in the middle of a file of more than 8 KB that keeps its size is not seen. For JPEG and PNG, whose
        pixels are packed, that takes intent: another picture has another size.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        for start in range(0, len(records), _FILES_AT_A_TIME):
            part = records[start : start + _FILES_AT_A_TIME]
            for record, file in zip(part, pool.map(_file_facts, (record.path for record in part)), strict=True):
                known = f"{record.camid} {record.pid}" if identities else f"{record.camid}"
                # no file name holds a NUL byte or a slash, so that two lists of images never give the same bytes
                digest.update(b"%s\0%s\0%s/" % (os.fsencode(os.path.basename(record.path)), known.encode(), file))
    return digest.hexdigest()


def _file_facts(path: str) -> bytes:
    """Size and digest of both ends of a file, in ASCII."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            ends = hashlib.blake2b(file.read(ENDS), digest_size=16)
            if size > ENDS:
                file.seek(max(ENDS, size - ENDS))
                ends.update(file.read(ENDS))
    except (OSError, ValueError):  # ValueError: a name with a NUL byte
        return b"unreadable"
    return b"%d %s" % (size, ends.hexdigest().encode())
