"""The device and the seed of a run."""

import paddle

from ppreid.base.environment import launched_processes, missing_for_determinism
from ppreid.base.errors import ConfigError


def use_device(name: str) -> str:
    """Choose where paddle computes.

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
            "tools/train.py, or call ppreid.base.environment.ask_for_determinism() before importing ppreid.app"
        )
