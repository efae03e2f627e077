"""Several processes of one run, as paddle's launcher would start them, for tests."""

import os
import random
import socket
import subprocess
import sys

LIMIT = 240  # seconds that the processes may take on a machine that is busy


def run_ranks(arguments, *, count=2, **environment):
    """Run a Python command as `count` ranks on this machine; exit code, standard output and standard error of each."""
    processes = start_ranks(arguments, count=count, **environment)
    try:
        outputs = [process.communicate(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def start_ranks(arguments, *, count=2, **environment):
    """Start a Python command as `count` ranks on this machine."""
    endpoints = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    shared = {
        **os.environ,
        **environment,
        "OMP_NUM_THREADS": "1",
        "PADDLE_MASTER": f"127.0.0.1:{free_port()}",
        "PADDLE_TRAINERS_NUM": str(count),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**shared, "PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": endpoint},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, endpoint in enumerate(endpoints)
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
