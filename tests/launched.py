"""Several processes of one run, as paddle's launcher would start them, for tests."""

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import pytest

LIMIT = 240  # seconds that the processes may take on a machine that is busy


class Machine(NamedTuple):
    """Where a rank runs: its address, what stands before its command, and variables of its own."""

    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})


HERE = Machine()


@contextmanager
def two_machines():
    """Two network namespaces with a cable between them; skips the test where they cannot be made."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need root and ip")
    names, ends = [f"ppreid{os.getpid()}{side}" for side in "ab"], [f"pp{os.getpid()}{side}" for side in "ab"]
    cable = ["link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1]]
    machines = []
    try:
        steps = [["netns", "add", name] for name in names] + [cable]
        for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
            address = f"10.99.0.{number}"
            steps += [["-n", name, "addr", "add", f"{address}/24", "dev", end]]
            steps += [["-n", name, "link", "set", device, "up"] for device in ("lo", end)]
            machines.append(Machine(address, ("ip", "netns", "exec", name), {"GLOO_SOCKET_IFNAME": end}))
        for step in steps:
            done = subprocess.run(["ip", *step], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no network namespaces here: {done.stderr}")
        yield machines
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def run_ranks(arguments, *, machines=(HERE, HERE), **environment):
    """Run a Python command as one rank per machine; exit code, standard output and standard error of each."""
    processes = start_ranks(arguments, machines=machines, **environment)
    try:
        outputs = [process.communicate(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def start_ranks(arguments, *, machines, **environment):
    """Start a Python command as one rank per machine."""
    endpoints = [f"{machine.address}:{free_port()}" for machine in machines]
    shared = {
        **os.environ,
        **environment,
        "OMP_NUM_THREADS": "1",
        "PADDLE_MASTER": f"{machines[0].address}:{free_port()}",
        "PADDLE_TRAINERS_NUM": str(len(machines)),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
    }
    return [
        subprocess.Popen(
            [*machine.prefix, sys.executable, *map(str, arguments)],
            env={
                **shared,
                **machine.environment,
                "PADDLE_TRAINER_ID": str(rank),
                "PADDLE_CURRENT_ENDPOINT": endpoints[rank],
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, machine in enumerate(machines)
    ]


def free_port():
    """A port that nobody listens on, below those that the kernel gives to others."""
    while True:
        with socket.socket() as attempt:
            port = random.SystemRandom().randrange(15000, 32000)
            try:
                attempt.bind(("", port))
            except OSError:
                continue
            return port
