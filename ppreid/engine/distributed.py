"""The processes of a run: who am I, who are the others, and small facts that all of them share.

`python -m paddle.distributed.launch --nproc_per_node N tools/train.py ...` starts N processes, the ranks. With one
process everything here does nothing and returns its argument, so that the code that uses it has one path. Arrays travel
by the collectives in collectives.py; what is here goes through the monitors (see rank_monitor.py), so a rank waits
in Python: it hears signals while it waits, and hears who has ended.
"""

import json
import logging
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle

from ppreid.engine.rank_hub import Lines, Message, launched_processes, send
from ppreid.engine.rank_monitor import GRACE, SILENCE, TOKEN
from ppreid.errors import Interrupted, PpreidError, TrainingError

LONGEST_STAGE = 6 * 3600.0  # seconds that ranks wait for one that still computes
PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent

logger = logging.getLogger("ppreid")


class Ranks:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0; rank 0 writes all files.
        count: number of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1, monitor: subprocess.Popen | None = None) -> None:
        """Describe one process; without arguments the only one."""
        self.rank = rank
        self.count = count
        self._monitor = monitor
        self._lines = Lines(monitor.stdout.fileno()) if monitor and monitor.stdout else None

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def gather(self, value: Any, what: str, *, limit: float = LONGEST_STAGE) -> list[Any]:  # noqa: ANN401 - any JSON value
        """Wait until all ranks are here, and exchange a small value.

        Args:
            value: anything that JSON can hold.
            what: name of this meeting, for messages.
            limit: seconds that the first rank may wait for the last one.

        Returns:
            The values of all ranks, by rank.

        Raises:
            TrainingError: another rank has failed, ended or hangs.
            Interrupted: another rank was stopped by a signal.
        """
        if self.count == 1:
            return [value]
        self._say({"kind": "meet", "value": value, "what": what, "limit": limit})
        return self._hear("met", timeout=limit + SILENCE)["values"]

    def agree(self, what: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Check that a value, for example a digest, is the same on all ranks.

        Raises:
            TrainingError: it is not; the message names the ranks.
        """
        values = self.gather(value, f"comparison of the {what}")
        others = [str(rank) for rank, other in enumerate(values) if other != values[0]]
        if others:
            raise TrainingError(
                f"the {what} of rank {', '.join(others)} differ from those of rank 0; all processes must run the same "
                "version on the same files with the same options. The last checkpoint is from before that"
            )

    def failure(self) -> PpreidError | Interrupted:
        """The reason why a collective broke, to raise it; waits a moment for the others to say it."""
        try:
            self._hear("goodbye", timeout=GRACE / 2)
        except (PpreidError, Interrupted) as error:
            return error
        return TrainingError("the connection to the other processes broke, and none of them says why; see their logs")

    def end(self, text: str, number: int = 0) -> None:
        """Tell the others that this process ends: "" is success, otherwise why; `number` is the signal that stopped it."""
        if self.count == 1:
            return
        self._say({"kind": "end", "text": text, "signal": number})
        while self._lines and not self._lines.closed:
            if any(message["kind"] == "goodbye" for message in self._lines.read()):
                return

    def _say(self, message: Message) -> None:
        if self._monitor and self._monitor.stdin:
            send(self._monitor.stdin, message)

    def _hear(self, kind: str, *, timeout: float) -> Message:
        """The next message of a kind; a verdict is raised."""
        deadline = time.monotonic() + timeout
        while self._lines and select.select([self._monitor.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            for message in self._lines.read():
                if message["kind"] == "verdict" and message["signal"]:
                    raise Interrupted(message["signal"])
                if message["kind"] == "verdict":
                    raise TrainingError(f"stopped because of another process: {message['text']}")
                if message["kind"] == kind:
                    return message
            if self._lines.closed:
                break
        raise TrainingError("the monitor of this process is gone, and with it the connection to the other processes")


ALONE = Ranks()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the other processes that paddle's launcher started, if it did; they learn how the block ends.

    The device must be chosen before.

    Raises:
        TrainingError: the processes cannot reach each other.
    """
    count = launched_processes()
    if count == 1:
        yield ALONE
        return
    rank = int(os.environ["PADDLE_TRAINER_ID"])
    monitor = _start(rank, count)
    ranks = Ranks(rank, count, monitor)
    if rank:
        logger.setLevel(logging.WARNING)
    try:
        logger.info("%d processes", len(ranks.gather(rank, "start")))
        yield ranks
    except Interrupted as stop:
        ranks.end(str(stop), stop.exit_code - 128)
        raise
    except BaseException as error:
        ranks.end(f"{type(error).__name__}: {error}")
        raise
    else:
        ranks.end("")


def _start(rank: int, count: int) -> subprocess.Popen:
    """Connect paddle's collectives, and start the monitor of this rank."""
    if paddle.get_device() == "cpu":
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"  # a build for GPUs would take NCCL
    host = os.environ["PADDLE_TRAINER_ENDPOINTS"].partition(":")[0]
    token = secrets.token_bytes(16)
    monitor = _monitor(rank, count, host, 0, token) if rank == 0 else None
    port = _port(monitor) if monitor else 0
    try:
        paddle.distributed.init_parallel_env()
        facts = paddle.to_tensor([port, *token])
        paddle.distributed.broadcast(facts, src=0)
    except (RuntimeError, ValueError, OSError) as error:
        raise TrainingError(f"rank {rank} cannot reach the other processes: {error}") from error
    port, *token_bytes = facts.tolist()
    return monitor or _monitor(rank, count, host, port, bytes(token_bytes))


def _monitor(rank: int, count: int, host: str, port: int, token: bytes) -> subprocess.Popen:
    """Start the monitor, in a session of its own so that no signal for the group reaches it."""
    path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "ppreid.engine.rank_monitor", str(rank), str(count), host, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, TOKEN: token.hex()},
        start_new_session=True,
    )


def _port(monitor: subprocess.Popen) -> int:
    """Port of the hub, the first line that the monitor of rank 0 writes."""
    line = monitor.stdout.readline() if monitor.stdout else b""
    if not line:
        raise TrainingError("the monitor of rank 0 did not start; the lines above may say why")
    return json.loads(line)["port"]
