"""Shards as tasks of Ray, on one machine or many: what --shard does, started and started again by an engine."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from ppreid.base.errors import ConfigError, PpreidError, last_line
from ppreid.base.optional import optional_module
from ppreid.base.plugins import load_plugin
from ppreid.disk.shards import Shard, all_shards
from ppreid.tables import CHOICES, PLUGINS

logger = logging.getLogger("ppreid")

_RETRIES = 10  # of a shard whose worker dies; one for which there is not enough memory always will
LOCAL = "local"  # instead of an address: a Ray of this machine alone, for this command


def run_on_ray(
    make: Callable[..., bool | None],
    count: int | None,
    *,
    address: str,
    plugins: Sequence[str] = (),
    tasks_per_machine: int | None = None,
) -> None:
    """Make the shards of a work as tasks of Ray; those that are done already take a moment.

    A worker that dies, whatever killed it, is replaced by Ray, and its shard goes on from what is on the disk.

    Args:
        make: does what can be done of `shard`, an argument, and says whether that is all; None is all. What it holds
            is sent to the machines, which must see the same files at the same paths.
        count: of shards, as --merge has it.
        address: of a Ray cluster, "auto" for the one that this machine belongs to, or `LOCAL`. A program that is
            connected to one already stays so.
        plugins: sources of those that the workers load, see `load_plugin`.
        tasks_per_machine: at once; None is one for each GPU, or one where there is none: a shard uses all cores.

    Raises:
        ConfigError: Ray is not installed or cannot be reached, or there is no number of shards.
        PpreidError: what a shard raised.
    """
    if count is None:
        raise ConfigError("--ray makes the shards that --merge N puts together; give it as well")
    waiting, ray = all_shards(count), optional_module("ray", install="ray>=2.9", what="--ray")
    was_connected = ray.is_initialized()
    try:
        if not was_connected:
            _connect(ray, address)
        task = ray.remote(_do).options(max_retries=_RETRIES, **_share(ray, tasks_per_machine))
        while waiting:
            logger.info("%d of %d shards on Ray", len(waiting), count)
            is_done = ray.get([task.remote(make, shard, list(plugins), os.getcwd()) for shard in waiting])
            waiting = [shard for shard, done in zip(waiting, is_done, strict=True) if not done]
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PpreidError):
            raise error.cause from None
        raise
    finally:
        if not was_connected:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 - of an optional package
    """Start a Ray, or find the one at an address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray that is started here tells nobody that it was
    where = {"include_dashboard": False} if address == LOCAL else {"address": address}
    try:
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **where)
    except (ConnectionError, ValueError) as error:
        text = f"--ray {address} cannot be reached: {last_line(error)}; give local, auto or the address of a cluster"
        raise ConfigError(text) from error


def _do(make: Callable[..., bool | None], shard: Shard, plugins: Sequence[str], folder: str) -> bool:
    """One shard, in a worker."""
    os.chdir(folder)  # relative paths are those of the command
    for source in plugins:
        load_plugin(source, CHOICES, PLUGINS)
    return make(shard=shard) is not False


def _share(ray: Any, tasks_per_machine: int | None) -> dict[str, float]:  # noqa: ANN401 - of an optional package
    """What a task asks for of its machine."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(max(machine.get("GPU", 0) for machine in machines))
    cores = min(machine.get("CPU", 1) for machine in machines)
    return {"num_cpus": max(1, cores // (tasks_per_machine or max(1, gpus))), "num_gpus": min(1, gpus)}
