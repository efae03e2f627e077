"""The processes of a run: who am I, who are the others, and small facts that all of them share.

`python -m paddle.distributed.launch --nproc_per_node N tools/train.py ...` starts N processes, the ranks. With one
process everything here does nothing and returns its argument, so that the code that uses it has one path. Arrays travel
by the collectives in collectives.py; what is here goes through the monitors (see monitor.py), so a rank waits
in Python: it hears signals while it waits, and hears who has ended.
"""

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import paddle

from ppreid.base.environment import launched_processes
from ppreid.base.errors import Interrupted, PpreidError, TrainingError

if TYPE_CHECKING:
    from ppreid.processes.monitor import Monitor

LONGEST_STAGE = 6 * 3600.0  # seconds that ranks wait for one that still computes

logger = logging.getLogger("ppreid")


class Ranks:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0; rank 0 writes all files.
        count: number of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1, monitor: "Monitor | None" = None) -> None:
        """Describe one process and its connection to the others; without arguments the only one."""
        self.rank = rank
        self.count = count
        self._monitor = monitor

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
        if self._monitor is None:
            return [value]
        from ppreid.processes.monitor import SILENCE

        self._monitor.say({"kind": "meet", "value": value, "what": what, "limit": limit})
        return self._monitor.hear("met", timeout=limit + SILENCE)["values"]

    def agree(self, what: str, value: Callable[[], Any]) -> None:
        """Check that a value, for example a digest, is the same on all ranks.

        Args:
            what: the value is of, in the plural.
            value: gives it; not called when there is nobody to compare with.

        Raises:
            TrainingError: it is not; the message names the ranks.
        """
        if self._monitor is None:
            return
        values = self.gather(value(), f"comparison of the {what}")
        others = [str(rank) for rank, other in enumerate(values) if other != values[0]]
        if others:
            raise TrainingError(
                f"the {what} of rank {', '.join(others)} differ from those of rank 0; all processes must run the same "
                "version on the same files with the same options. The last checkpoint is from before that"
            )

    def failure(self) -> PpreidError | Interrupted:
        """The reason why a collective broke, to raise it; waits a moment for the others to say it."""
        try:
            if self._monitor:
                from ppreid.processes.monitor import GRACE

                self._monitor.hear("goodbye", timeout=GRACE / 2)
        except (PpreidError, Interrupted) as error:
            return error
        return TrainingError("a collective of paddle failed")

    def end(self, text: str, number: int = 0) -> None:
        """Tell the others that this process ends, and why ("" is success; `number` is the signal that stopped it)."""
        if self._monitor:
            self._monitor.say({"kind": "end", "text": text, "signal": number})
            while not self._monitor.output.closed:
                if any(message["kind"] == "goodbye" for message in self._monitor.output.read()):
                    return


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
    ranks = Ranks(rank, count, _start(rank, count))
    if rank:
        logger.setLevel(logging.WARNING)
    try:
        ranks.gather(None, "start")
        yield ranks
    except Interrupted as stop:
        ranks.end(str(stop), stop.exit_code - 128)
        raise
    except BaseException as error:
        ranks.end(f"{type(error).__name__}: {error}")
        raise
    else:
        ranks.end("")


def _start(rank: int, count: int) -> "Monitor":
    """Connect paddle's collectives, and start the monitor of this rank."""
    from ppreid.processes.monitor import SILENCE, start_monitor  # a process alone has no use for it

    if paddle.get_device() == "cpu":
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"  # a build for GPUs would take NCCL
    host = os.environ["PADDLE_TRAINER_ENDPOINTS"].partition(":")[0]
    token, port, monitor = secrets.token_bytes(16), 0, None
    if rank == 0:
        monitor = start_monitor(rank, count, host, port, token)
        port = monitor.hear("port", timeout=SILENCE)["port"]
    try:
        paddle.distributed.init_parallel_env()
        facts = paddle.to_tensor([port, *token])
        paddle.distributed.broadcast(facts, src=0)
    except (RuntimeError, ValueError, OSError) as error:
        raise TrainingError(f"rank {rank} cannot reach the other processes: {error}") from error
    port, *token_bytes = facts.tolist()
    return monitor or start_monitor(rank, count, host, port, bytes(token_bytes))
