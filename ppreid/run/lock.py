"""One run per folder: a lock file that shows who has it, and that does not outlive its process.

The lock itself is the kernel's (`lockf`): it ends with the process, however that ends, and forked workers do not have
it. So whoever gets it from the kernel knows that the process named in the file is gone, even where another process has
its number by now.
"""

import errno
import json
import os
import socket
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ppreid.base.environment import flags, is_gone, lock
from ppreid.base.errors import ConfigError, DataError, PpreidWarning, WriteError, printable
from ppreid.base.reading import is_there, reading
from ppreid.disk.checks import make_folder

LOCK = "run.lock"
_LARGEST = 4096  # bytes of a lock file, which has about 150
_SHOWN = 100  # letters of a name in it
_MAX_PID = 1 << 22  # the kernel's own limit
_HELD = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def run_lock(folder: Path) -> Iterator[str]:
    """Keep every other run out of a folder while the block runs.

    Args:
        folder: created with its parents.

    Yields:
        A sentence about a lock that was left behind by a run that is gone; "" in the normal case.

    Raises:
        ConfigError: a living process has the folder, or one of another machine may have it.
        WriteError: the folder cannot be written to.
    """
    path = folder / LOCK
    try:
        make_folder(folder)
        descriptor = _locked(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        reason += f" ({LOCK})" if str(error.filename) == str(path) else ""
        raise WriteError(
            error.errno, f"output_dir {folder} cannot be written to: {reason}; choose another one"
        ) from None
    try:
        recovered = _check_previous_owner(path, _beginning(descriptor))
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(_this_process()).encode("utf-8"))
        try:
            yield recovered
        finally:
            os.ftruncate(descriptor, 0)  # an empty lock is nobody's, should the folder have become read-only
            with suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def process_at_work(folder: Path) -> str:
    """Which process has a folder, as far as can be seen without asking for the lock.

    Must not be called by the process that has it: the kernel would drop its lock when this closes the file.

    Args:
        folder: of a run.

    Returns:
        Its name, e.g. "process 17 on host (started ...)"; "" if there is none, or if it is gone. A process of another
        machine counts as being there.
    """
    if not is_there(folder / LOCK, DataError):
        return ""
    with reading(folder / LOCK, DataError), open(folder / LOCK, "rb") as file:
        owner = _parsed(file.read(_LARGEST))
    if not owner:
        return ""
    is_here = owner["boot"] == _boot_id()
    return "" if is_here and owner.get("ticks") != _start_ticks(owner["pid"]) else _named(owner)


def _locked(path: Path) -> int:
    """Descriptor of the lock file, locked."""
    while True:
        # the file is emptied: a link in its place could lead to anything
        descriptor = os.open(path, flags("O_RDWR", "O_CREAT", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"), 0o666)
        try:
            _require_lock_file(descriptor, path)
            lock(descriptor, of_process=True)
        except ConfigError:
            os.close(descriptor)
            raise
        except OSError as error:
            owner = _beginning(descriptor)
            if error.errno in _NO_LOCKS:
                text = f"the file system of {path} has no file locks; nothing keeps a second run out of the folder"
                warnings.warn(text, PpreidWarning, stacklevel=4)
                return descriptor
            os.close(descriptor)
            if error.errno in _HELD:
                raise ConfigError(_in_use(path, _parsed(owner))) from None
            raise
        if _is_still(descriptor, path):
            return descriptor
        os.close(descriptor)  # its owner removed it between our open and our lock


def _beginning(descriptor: int) -> bytes:
    """What a lock file says."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _LARGEST)


def _require_lock_file(descriptor: int, path: Path) -> None:
    """Refuse what no run has written: it would be emptied."""
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LARGEST:
        found = f"a file of {facts.st_size:,} bytes" if stat.S_ISREG(facts.st_mode) else "no file"
        raise ConfigError(f"{path} is {found}, not the lock of a run; remove it, or choose another folder")


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _check_previous_owner(path: Path, content: bytes) -> str:
    """What to say about the owner in a file that the kernel lets us lock; see `run_lock`."""
    owner = _parsed(content)
    if not owner:
        return ""
    me = _this_process()
    if owner == me:  # the kernel's lock does not keep a process from itself
        raise ConfigError(_in_use(path, owner))
    # one kernel may have many host names (containers), and one machine has another boot id after a restart
    if owner["boot"] == me["boot"] or owner["host"] == me["host"]:
        return f"{path} was left behind by {_named(owner)}, which is gone; the folder is taken over"
    raise ConfigError(
        f"output_dir {path.parent} is locked by {_named(owner)}, a machine whose processes cannot be seen from here; "
        f"if that run is over, delete {path}"
    )


def _this_process() -> dict[str, Any]:
    """Facts that tell this process from every other one; times are in clock ticks since the machine started."""
    ticks = _start_ticks(os.getpid()) or 0
    started = _started_at(ticks)
    return {"pid": os.getpid(), "host": socket.gethostname(), "boot": _boot_id(), "ticks": ticks, "started": started}


def _boot_id() -> str:
    """What tells this start of the machine from others; without /proc, the machine from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return socket.gethostname()


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did, 0 without /proc; None if it is not there."""
    try:
        return int(Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return None if os.path.isdir("/proc/self") or is_gone(int(pid)) else 0


def _started_at(ticks: int) -> str:
    """Local time of day of a number of clock ticks after the machine started."""
    if not ticks:
        return "at an unknown time"
    boot_time = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    seconds = int(boot_time.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _parsed(content: bytes) -> dict[str, Any]:
    """Facts of a lock file; nothing for one whose writer died at once, empty or in half, and for other things."""
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    texts = ("host", "boot", "started")
    is_ours = isinstance(facts, dict) and all(isinstance(facts.get(key), str) for key in texts)
    is_ours = is_ours and type(facts.get("pid")) is int and 0 < facts["pid"] <= _MAX_PID
    return facts if is_ours else {}


def _named(owner: dict[str, Any]) -> str:
    host, started = (printable(owner[key][:_SHOWN]) for key in ("host", "started"))
    return f"process {owner['pid']} on {host} (started {started})"


def _in_use(path: Path, owner: dict[str, Any]) -> str:
    who = _named(owner) if owner else "another process"
    return (
        f"output_dir {path.parent} is in use by {who}; wait until that run is over, stop it, or choose another folder "
        "(-o output_dir=...)"
    )
