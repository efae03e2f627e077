"""What paddle's GPU kernels are told: to give the same result in every run, and to multiply in float32; locks on files.

The variables are read by paddle and CUDA when they are loaded, so they are set before paddle is imported. A CPU needs
none of this.
"""

import errno
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RENAMES_OPEN_FILES = OPENS_FOLDERS = os.name != "nt"  # Windows does neither

DETERMINISTIC: Mapping[str, str] = {
    "FLAGS_cudnn_deterministic": "1",  # convolutions: no algorithm that adds in varying order
    "FLAGS_cudnn_exhaustive_search": "0",  # convolutions: no algorithm chosen by measuring time
    "FLAGS_embedding_deterministic": "1",  # gradients of rows that are gathered
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # matrix products
}


def ask_for_determinism(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables; call this before anything imports paddle.

    Args:
        environment: where to set them.
    """
    environment.update(DETERMINISTIC)


def missing_for_determinism(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The variables that are not set as they should be, as NAME=VALUE."""
    return [f"{name}={value}" for name, value in DETERMINISTIC.items() if environment.get(name) != value]


def float32_products(core: Any) -> None:  # noqa: ANN401 - a compiled module without types
    """Let matrix products on a GPU have all bits of float32: neighbours, logits, support samples, re-ranking.

    From Ampere on, cuBLAS multiplies float32 as TF32, which has 10 bits of a number's 23, unless it is told not to.
    Convolutions keep TF32: they are nearly all of the time, and PyTorch, on which the released code runs, makes the
    same two choices. NVIDIA_TF32_OVERRIDE in the environment overrules this for all of CUDA: 0 takes TF32 from
    convolutions too, 1 forces it.

    Args:
        core: `paddle.base.core`; in a build without CUDA it has no such switch, and none is needed.
    """
    if hasattr(core, "set_cublas_switch"):
        core.set_cublas_switch(False)


def launched_processes() -> int:
    """How many processes paddle's launcher started, with this one; 1 without it."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def flags(*names: str) -> int:
    """Flags for `os.open` by their names; one that the system lacks does nothing."""
    return sum({getattr(os, name, 0) for name in names})


def lock(descriptor: int, *, of_process: bool = False) -> None:
    """Lock a file for as long as its descriptor is open, without waiting.

    Args:
        descriptor: of a file or folder.
        of_process: the lock is this process's alone (`lockf`); otherwise those that it forks have it as well (`flock`).

    Raises:
        OSError: somebody has it (EAGAIN, EACCES), or there are no locks here (ENOTSUP and others).
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no such locks")
    (fcntl.lockf if of_process else fcntl.flock)(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def keep_mode(descriptor: int, path: Path) -> None:
    """Give a new file the permissions of the one that it replaces, else those that the umask gives; not on Windows."""
    if not hasattr(os, "fchmod"):
        return
    if path.exists():
        mode = path.stat().st_mode & 0o777
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    os.fchmod(descriptor, mode)


def ready_to_rename(file: BinaryIO) -> None:
    """Flush a file that is about to get another name, and close it where the system renames no open files."""
    if RENAMES_OPEN_FILES:
        file.flush()
    else:
        file.close()


def is_gone(process: int) -> bool:
    """Whether there is no process of this number; False on Windows, where to ask would be to end it."""
    if os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is somebody else's
        return False
    return False
