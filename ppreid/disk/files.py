"""The one way in which ppreid writes files: a crash, a full disk or a second reader never meets half a file.

docs/reliability.md says what this promises; `tests/test_house.py` that nothing else writes.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ppreid.base.environment import OPENS_FOLDERS, keep_mode, ready_to_rename
from ppreid.base.errors import DataError, WriteError
from ppreid.base.reading import is_there, reading
from ppreid.disk import places

CHECKSUM_SUFFIX = ".sha256"
_NO_RENAME = (errno.EXDEV, errno.ENOSYS, errno.ENOTSUP)
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # some network file systems; the rename itself was done


@contextmanager
def replacing(path: str | Path, *, keep_as: Path | None = None) -> Iterator[BinaryIO]:
    """Write a file completely or not at all.

    The bytes go to a temporary sibling (the same file system, so that the rename is atomic), are flushed to the disk,
    and only then take the place of `path`. An error inside the block leaves an existing file as it was.

    A symbolic link stays and the file that it leads to is replaced. What is no regular file (a pipe, a device,
    /dev/stdout; "-" is standard output) is written into once the block has ended, never replaced.

    Args:
        path: file to write; its folder must exist. The mode of an existing file is kept.
        keep_as: name in the same folder for the file that is replaced, once the new one is on the disk; None drops it.

    Yields:
        A binary file to write to.

    Raises:
        WriteError: the folder cannot be written to, the disk is full, or its file system cannot rename. A file system
            that cannot rename cannot replace a file safely; writing into the old one is no way out.
    """
    path = Path(path)
    with explained(path):
        if places.is_stream(path):
            content = BytesIO()
            yield content
            places.write_into(path, content.getbuffer())
            return
        target = places.followed(path)
        descriptor, temporary = places.locked_temporary(target)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                keep_mode(file.fileno(), target)
                os.fsync(file.fileno())
                ready_to_rename(file)
                _rename(temporary, target, keep_as)  # while it is locked, or another process might remove it
        except BaseException:
            with suppress(OSError):  # it is gone already, or the folder has become read-only
                os.unlink(temporary)
            raise
        sync_folder(target.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file completely or not at all (see `replacing`); names of files that are no UTF-8 stay so."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def append_line(path: Path, line: str, *, flush: bool = True) -> None:
    """Append a line to a text file completely or not at all; an unfinished last line of a killed process is ended.

    Args:
        path: file, made if it is not there; not a symbolic link, since a stranger's folder might lead it anywhere.
        line: text without its newline; characters that are no UTF-8 are escaped.
        flush: return only when the line is on the disk, and not merely in the system's memory.

    Raises:
        WriteError: the file cannot be written; it is as it was.
    """
    is_new = not path.exists()
    with explained(path), open(path, "a+b", buffering=0, opener=places.not_through_links) as file:
        end = file.seek(0, os.SEEK_END)
        unfinished = end > 0 and file.seek(end - 1) >= 0 and file.read(1) != b"\n"  # what is written goes to the end
        rest = memoryview(("\n" * unfinished + line + "\n").encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if flush:
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(end)
            raise
        if is_new and flush:
            sync_folder(path.parent)


def publish(temporary: Path, path: Path, *, sha256: str) -> None:
    """Give a file that was written under another name in the same folder its final name, with its checksum beside it.

    Args:
        temporary: complete file.
        path: its name from now on; the digest goes to the same name with .sha256 behind it, as sha256sum writes it.
        sha256: of what was written, as 64 hexadecimal digits; not of what the disk made of it.

    Raises:
        WriteError: it cannot be flushed or renamed.
    """
    with explained(path):
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        write_text(Path(f"{path}{CHECKSUM_SUFFIX}"), f"{sha256}  {path.name}\n")
        _rename(temporary, path, None)
        sync_folder(path.parent)


def check_published(path: Path) -> None:
    """Compare a file with the checksum beside it; without one there is nothing to compare.

    Raises:
        DataError: the file is not what was written.
    """
    record = Path(f"{path}{CHECKSUM_SUFFIX}")
    if is_there(record, DataError):
        with reading(record, DataError), open(record, "rb") as file:
            if file.read(64) == file_sha256(path).encode():
                return
        text = f"{path} is damaged: it does not match its checksum in {record}"
        raise DataError(f"{text}. Write or fetch it again; if it was changed on purpose, delete {record.name}")


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files that killed processes left behind in a folder.

    Whoever writes one of the files again does so for that file (`replacing`).

    Args:
        folder: where to look.
        names: of the files that were being written, with * for anything. Temporary files for others are not touched,
            nor those that a living process is writing.
    """
    for name in names:
        for file in folder.glob(f".{name}.*.tmp"):
            places.remove_abandoned(file)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says about a file that cannot be written into a WriteError that says what to do.

    Args:
        path: as the user knows it.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno  # said of a folder where a file is
        reason = os.strerror(number) if number else str(error)
        if str(path) == places.STANDARD_OUTPUT:
            path, advice = Path("standard output"), "name a file instead"
        elif error.errno in _NO_RENAME:
            advice = "its file system cannot rename, so that no file can be replaced safely; choose a folder elsewhere"
        elif number == errno.ELOOP:
            advice = "it is a symbolic link that is not followed; remove it, or choose another name"
        elif number in (errno.ENOENT, errno.ENOTDIR):
            advice = "make its folder first, or choose another one"
        else:
            advice = "make its folder writable or make room, or choose another one"
        raise WriteError(number, f"{path} cannot be written: {reason}; {advice}") from error


def _rename(temporary: Path, path: Path, keep_as: Path | None) -> None:
    """Put the new file in place, and the one that it replaces aside; the latter comes back if the former fails."""
    kept = keep_as is not None and path.exists()
    if kept:
        os.replace(path, keep_as)  # type: ignore[arg-type]
    try:
        os.replace(temporary, path)
    except BaseException:
        if kept:
            with suppress(OSError):
                os.replace(keep_as, path)  # type: ignore[arg-type]
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    if not OPENS_FOLDERS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
