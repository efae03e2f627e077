"""A process beside every process of a distributed run: it passes small messages on, and notices who is gone.

The collectives of gloo give up after 30 seconds and cannot say who is missing, and a process that computes cannot watch
anything. So each rank starts this file as a process of its own (without paddle, quick to start). Its standard
input and output lead to the rank, a socket leads to the hub; for the messages see hub.py.
"""

import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from ppreid.base.errors import Interrupted, TrainingError
from ppreid.processes.hub import SILENCE, TICK, Hub, Lines, Message, accept_ranks, hello, send

STOPPED = 15.0  # seconds after which a process that the kernel does not run counts as hanging
GRACE = 20.0  # seconds that a rank has to end after a verdict
GRACE_TO_SAVE = 45.0  # the same after a signal, which lets it save first
TOKEN = "PPREID_RANK_TOKEN"  # environment variable: monitors without the right one are not let in
PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent


class Monitor:
    """The process beside this one, as this one sees it.

    Attributes:
        input: takes messages for the others.
        output: gives what the others say.
    """

    def __init__(self, process: subprocess.Popen) -> None:
        """Talk to a process that runs monitor.py."""
        self._process = process
        self.input: BinaryIO = process.stdin  # type: ignore[assignment]
        self.output = Lines(process.stdout.fileno())  # type: ignore[union-attr]
        self._unread: list[Message] = []

    def say(self, message: Message) -> None:
        """Tell the others."""
        send(self.input, message)

    def hear(self, kind: str, *, timeout: float) -> Message:
        """The next message of a kind.

        Raises:
            TrainingError: another rank has failed, or nothing was heard in `timeout` seconds.
            Interrupted: another rank was stopped by a signal.
        """
        deadline = time.monotonic() + timeout
        while self._unread or not self.output.closed:
            while self._unread:
                message = self._unread.pop(0)
                if message["kind"] == "verdict" and message["signal"]:
                    raise Interrupted(message["signal"])
                if message["kind"] == "verdict":
                    raise TrainingError(f"stopped because of another process: {message['text']}")
                if message["kind"] == kind:
                    return message
            if not select.select([self.output.descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
            self._unread = self.output.read()
        raise TrainingError("the connection to the other processes broke, and none of them says why; see their logs")


def start_monitor(rank: int, count: int, host: str, port: int, token: bytes) -> Monitor:
    """Start the monitor of this process, in a session of its own so that no signal for the group reaches it."""
    path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "ppreid.processes.monitor", str(rank), str(count), host, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, TOKEN: token.hex()},
        start_new_session=True,
    )
    return Monitor(process)


class Watch:
    """Stands between one rank and the hub."""

    def __init__(self, hub: socket.socket) -> None:
        """Keep the connection; the rank is the parent of this process."""
        self._hub = hub
        self._parent = os.getppid()
        self._heard = self._ran = time.monotonic()
        self._verdict: Message | None = None
        self._deadline = float("inf")
        self._ended = False
        self._next_tick = 0.0

    def run(self) -> None:
        """Serve until the rank has ended."""
        rank, hub = Lines(sys.stdin.fileno()), Lines(self._hub.fileno())
        selector = selectors.DefaultSelector()
        selector.register(sys.stdin, selectors.EVENT_READ, rank)
        selector.register(self._hub, selectors.EVENT_READ, hub)
        while not rank.closed and os.getppid() == self._parent:
            for key, _ in selector.select(TICK):
                for message in key.data.read():
                    if key.data is rank:
                        self._from_rank(message)
                    else:
                        self._from_hub(message)
            if hub.closed and self._hub in selector.get_map():
                selector.unregister(self._hub)
                self._judge("rank 0 cannot be reached any more")
            self._look_at_the_clock()
        if not self._ended:
            send(self._hub, {"kind": "end", "text": "ended without a word; something killed it"})

    def _from_rank(self, message: Message) -> None:
        send(self._hub, message)
        if message["kind"] == "end":
            self._ended = True
            send(sys.stdout.buffer, {"kind": "goodbye"})

    def _from_hub(self, message: Message) -> None:
        self._heard = time.monotonic()
        if message["kind"] == "verdict":
            self._judge(message["text"], message["signal"])
        elif message["kind"] == "met":
            send(sys.stdout.buffer, message)

    def _judge(self, text: str, number: int = 0) -> None:
        """Tell the rank that the run is over; it has some time to end by itself."""
        if self._verdict is None and not self._ended:
            self._verdict = {"kind": "verdict", "text": text, "signal": number}
            self._deadline = time.monotonic() + (GRACE_TO_SAVE if number else GRACE)
            send(sys.stdout.buffer, self._verdict)
            if number:
                os.kill(self._parent, number)

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK
        send(self._hub, {"kind": "alive"})
        if now - self._heard > SILENCE:
            self._judge(f"rank 0: was silent for {SILENCE:.0f} seconds; its machine or the network may be gone")
        if not is_stopped(self._parent):
            self._ran = now
        elif now - self._ran > STOPPED:
            send(self._hub, {"kind": "end", "text": f"was stopped (SIGSTOP) for {STOPPED:.0f} seconds"})
            os.kill(self._parent, signal.SIGKILL)
        if now > self._deadline and self._verdict and not self._ended:
            print(f"error: {self._verdict['text']}; this process did not end by itself", file=sys.stderr, flush=True)
            os.kill(self._parent, signal.SIGKILL)


def is_stopped(process: int) -> bool:
    """Whether the kernel does not run a process until somebody continues it; False where that cannot be seen."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def main(rank: int, count: int, host: str, port: int, token: str) -> None:
    """Connect, and serve; rank 0 (port 0) opens the hub first and writes its port."""
    hub = None
    if rank == 0:
        server = socket.create_server(("", 0))
        port = server.getsockname()[1]
        send(sys.stdout.buffer, {"kind": "port", "port": port})
        hub = threading.Thread(target=lambda: Hub(accept_ranks(server, count, token)).run(), daemon=True)
        hub.start()
    connection = socket.create_connection((host, port), timeout=SILENCE)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(hello(token, rank))
    Watch(connection).run()
    connection.shutdown(socket.SHUT_WR)
    if hub:
        hub.join(GRACE_TO_SAVE + SILENCE)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), os.environ[TOKEN])
