"""The hub of a distributed run: it passes small messages between the ranks, and tells all when one is gone.

It is a thread in the monitor of rank 0 (see monitor.py) and knows every monitor by a socket. All messages are
lines of JSON with a `kind`:

    rank to hub     meet (value, what, limit); end (text, "" is success; signal: what stopped it); alive
    hub to rank     met (values, by rank); verdict (text, signal): the run is over, because of another rank; alive
"""

import hmac
import json
import os
import selectors
import socket
import time
from contextlib import suppress
from typing import Any, BinaryIO

TICK = 0.5  # seconds
SILENCE = 30.0  # seconds without a word after which a monitor, or its machine, counts as gone
Message = dict[str, Any]


def send(channel: socket.socket | BinaryIO, message: Message) -> None:
    """Write one message; a reader that is gone is noticed elsewhere."""
    line = json.dumps(message).encode() + b"\n"
    try:
        if isinstance(channel, socket.socket):
            channel.sendall(line)
        else:
            channel.write(line)
            channel.flush()
    except OSError:
        pass


class Lines:
    """Complete messages from a channel that delivers bytes as they come.

    Attributes:
        descriptor: file descriptor of the channel.
        closed: the other side has closed it.
    """

    def __init__(self, descriptor: int) -> None:
        """Read from an open file descriptor."""
        self.descriptor = descriptor
        self._rest = b""
        self.closed = False

    def read(self) -> list[Message]:
        """Messages that have arrived; waits for the first byte."""
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:
            data = b""
        self.closed = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Hub:
    """Collects what the ranks say, and tells all of them."""

    def __init__(self, connections: dict[int, socket.socket]) -> None:
        """Keep one open connection per rank."""
        self._connections = connections
        self._heard = dict.fromkeys(connections, time.monotonic())
        self._arrived: dict[int, Message] = {}
        self._done: list[int] = []
        self._since = 0.0  # the first one arrived
        self._next_tick = 0.0
        self._over = False

    def run(self) -> None:
        """Serve until every connection is closed."""
        selector = selectors.DefaultSelector()
        for rank, connection in self._connections.items():
            selector.register(connection, selectors.EVENT_READ, (rank, Lines(connection.fileno())))
        while selector.get_map():
            for key, _ in selector.select(TICK):
                rank, lines = key.data
                for message in lines.read():
                    if rank in self._heard:
                        self._heard[rank] = time.monotonic()
                    self._take(rank, message)
                if lines.closed:
                    selector.unregister(key.fileobj)
                    if self._heard.pop(rank, None) is not None:
                        self._end("cannot be reached any more", rank)
            self._look_at_the_clock()

    def _take(self, rank: int, message: Message) -> None:
        if message["kind"] == "meet":
            self._since = self._since if self._arrived else time.monotonic()
            self._arrived[rank] = message
            if len(self._arrived) == len(self._connections):
                values = [self._arrived[each]["value"] for each in sorted(self._arrived)]
                self._arrived = {}
                self._tell({"kind": "met", "values": values})
            elif self._done:
                self._end("ended before the others", self._done[0])
        elif message["kind"] == "end":
            self._heard.pop(rank, None)  # what it says or does from here on means nothing any more
            self._done.append(rank)
            if message["text"] or self._arrived:
                self._end(message["text"] or "ended before the others", rank, message.get("signal", 0))

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK
        self._tell({"kind": "alive"})
        for rank in [rank for rank, heard in self._heard.items() if now - heard > SILENCE]:
            self._end(f"was silent for {SILENCE:.0f} seconds; its machine or the network may be gone", rank)
        if self._arrived and now - self._since > max(message["limit"] for message in self._arrived.values()):
            missing = min(set(self._connections) - set(self._arrived))
            what = next(iter(self._arrived.values()))["what"]
            self._end(f"did not come to the {what} in {now - self._since:.0f} seconds", missing)

    def _end(self, text: str, rank: int, number: int = 0) -> None:
        if not self._over:
            self._over = True
            self._tell({"kind": "verdict", "text": f"rank {rank}: {text}", "signal": number})

    def _tell(self, message: Message) -> None:
        for connection in self._connections.values():
            send(connection, message)


def accept_ranks(server: socket.socket, count: int, token: str) -> dict[int, socket.socket]:
    """One connection for each rank that knows the token; others are closed."""
    connections: dict[int, socket.socket] = {}
    while len(connections) < count:
        connection, _ = server.accept()
        connection.settimeout(SILENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = _received(connection, len(hello(token, 0)))
        ranks = [rank for rank in range(count) if hmac.compare_digest(greeting, hello(token, rank))]
        if ranks:
            connection.settimeout(None)
            connections[ranks[0]] = connection
        else:
            connection.close()
    return connections


def _received(connection: socket.socket, size: int) -> bytes:
    """The first bytes from a connection; fewer if it closes or is silent."""
    data = b""
    with suppress(OSError):
        while len(data) < size and (more := connection.recv(size - len(data))):
            data += more
    return data


def hello(token: str, rank: int) -> bytes:
    """The first bytes that a monitor sends; all are equally long."""
    return f"{token} {rank:08d}\n".encode()
