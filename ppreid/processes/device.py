"""Where a run computes: its device, and how much memory there is."""

import warnings
from pathlib import Path

import paddle

from ppreid.base.environment import float32_products, launched_processes, missing_for_determinism
from ppreid.base.errors import ConfigError, PpreidWarning


def use_device(name: str) -> str:
    """Choose where paddle computes; matrix products on a GPU are then float32, see `float32_products`.

    Args:
        name: "auto" (a GPU if this paddle was built for it and one is there), "cpu", "gpu" or "gpu:N".

    Returns:
        The device that paddle reports, e.g. "cpu" or "gpu:0".

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    gpus = paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0
    if name == "auto":
        name = "gpu" if gpus else "cpu"
    if name == "gpu" and gpus:
        name = f"gpu:{paddle.distributed.ParallelEnv().device_id}"  # paddle's launcher gives each process its own
    elif name.startswith("gpu:") and launched_processes() > 1:
        raise ConfigError(f"device is {name!r} for {launched_processes()} processes; use device=gpu, one for each")
    if name.startswith("gpu"):
        number = int(name.partition(":")[2] or 0)
        if number >= gpus:
            built_without = not paddle.device.is_compiled_with_cuda()
            hint = " (this is paddle's CPU build; see requirements-gpu.txt)" if built_without else ""
            raise ConfigError(f"device is {name!r}, but {gpus} GPUs were found{hint}; use device=auto or device=cpu")
    paddle.set_device(name)
    float32_products(paddle.base.core)
    return str(paddle.get_device())


def require_determinism(device: str) -> None:
    """Refuse a run that asks for determinism too late: paddle reads the variables when it is imported.

    Args:
        device: as `use_device` gives it; "cpu" needs nothing.

    Raises:
        ConfigError: variables are missing.
    """
    if device != "cpu" and (missing := missing_for_determinism()):
        raise ConfigError(
            f"deterministic is true, but {', '.join(missing)} was not in the environment when paddle was imported; use "
            "tools/train.py, or call ppreid.base.environment.ask_for_determinism() before importing paddle"
        )


# Measured with benchmarks/pseudo_labels.py: at k1 = 30 a million images take 1.7 GB, tiles included; features that
# cluster worse store more pairs, so the estimate is twice that.
LABEL_BYTES_PER_NEIGHBOUR = 110

# Files of a control group: limit, use, and the key of memory.stat that counts pages of files
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_NO_LIMIT = 1 << 62  # version 1 writes about 2**63 where there is no limit


def available_memory(meminfo: Path = Path("/proc/meminfo"), membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that this process can use without swapping, in the machine and in its container or batch job.

    Returns:
        None where the system does not say (it is not Linux).
    """
    machine = [1024 * kilobytes for kilobytes in _numbers(meminfo, "MemAvailable:")]
    return min([*machine, *group_memory(membership)], default=None)


def group_memory(membership: Path, root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Bytes that the control groups of this process leave it: containers, batch jobs and services have limits.

    Args:
        membership: the process's groups, one line "number:controllers:path" each.
        root: where their files are, those of version 1 below memory/.

    Returns:
        One number for every group with a limit; pages of files count as free, the system drops them when it must.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
    left = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "memory" not in controllers.split(","):
            continue
        top, names = (root / "memory", _VERSION_1) if controllers else (root, _VERSION_2)
        own = top / path.lstrip("/")
        # every group above limits as well; a container may see the path of the machine, but only the top of it
        for group in [own, *(parent for parent in own.parents if parent.is_relative_to(top))]:
            limit, used = (_numbers(group / name) for name in names[:2])
            if limit and used and limit[0] < _NO_LIMIT:
                left.append(max(0, limit[0] - used[0] + sum(_numbers(group / "memory.stat", names[2]))))
    return left


def _numbers(file: Path, key: str = "") -> list[int]:
    """The number that a file of the system holds, or those behind a key; none where there is none ("max")."""
    try:
        rows = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except OSError:
        return []
    values = [row[1] for row in rows if row[0] == key] if key else [row[0] for row in rows]
    return [int(value) for value in values if value.isdigit()]


def warn_if_labels_do_not_fit(num_images: int, *, neighbours: int, available: int | None) -> None:
    """Say before the start that pseudo labels will need more memory than there is.

    Args:
        num_images: N.
        neighbours: neighbours per image, k1.
        available: see `available_memory`; None is not checked.

    Warns:
        PpreidWarning: the estimate, LABEL_BYTES_PER_NEIGHBOUR * k1 bytes per image, is above what is available.
    """
    needed = LABEL_BYTES_PER_NEIGHBOUR * neighbours * num_images
    if available is not None and needed > available:
        warnings.warn(
            f"pseudo labels of {num_images:,} images with {neighbours} neighbours need about {needed / 1e9:.1f} GB "
            f"beyond the features; {available / 1e9:.1f} GB are available. Lower labels.k1, or free memory",
            PpreidWarning,
            stacklevel=2,
        )
