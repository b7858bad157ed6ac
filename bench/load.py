"""HTTP load as a program of its own: `load.py HOST PORT CONNECTIONS SECONDS RATE < requests`.

Standard input is a JSON list of whole requests, sent in turn over kept connections. With RATE 0 every connection sends
as soon as it is answered; else requests are due at so many a second, wait where all connections are busy, and the wait
counts (a server that is slow for a moment does not get fewer requests for it). Prints `{"requests", "seconds",
"cpu_seconds", "median_seconds", "p99_seconds"}`. Any answer but 2xx ends it with an error.

On uvloop with prepared requests it sends some twenty thousand a second on one core, more than what it measures answers.
"""

import asyncio
import itertools
import json
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Final

import httptools
import uvloop

STATUS: Final = range(200, 300)


class Load(ABC):
    """The requests, who is free to send the next one, and what was answered."""

    def __init__(self, requests: list[bytes], seconds: float) -> None:
        self.requests = itertools.cycle(requests)
        self.seconds = seconds
        self.latencies: list[float] = []
        self.due: deque[float] = deque()
        # In turn: one that is left alone for seconds is closed by the server.
        self.free: deque[Connection] = deque()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ends_at = 0.0

    def answered(self, connection: "Connection", due_at: float) -> None:
        """Note it, and give the connection what waits."""
        self.latencies.append(time.perf_counter() - due_at)
        if self.due:
            connection.send(self.due.popleft())
        else:
            self.next_for(connection)

    def next_for(self, connection: "Connection") -> None:
        """A connection has nothing to do."""
        self.free.append(connection)

    @abstractmethod
    async def run(self) -> None:
        """Send until the time is over."""

    async def over(self) -> None:
        """Wait until the end, or until something failed."""
        done, _ = await asyncio.wait([self.failed], timeout=self.ends_at - time.perf_counter())
        if done:
            await self.failed


class Saturating(Load):
    """Every connection sends as soon as it is answered."""

    def next_for(self, connection: "Connection") -> None:
        """Send the next one at once."""
        now = time.perf_counter()
        if now < self.ends_at:
            connection.send(now)

    async def run(self) -> None:
        """Start every connection off."""
        self.ends_at = time.perf_counter() + self.seconds
        for connection in list(self.free):
            self.next_for(connection)
        await self.over()


class Paced(Load):
    """Requests are due at an even rate, whether or not the server keeps up."""

    def __init__(self, requests: list[bytes], seconds: float, rate: float) -> None:
        super().__init__(requests, seconds)
        self.rate = rate

    async def run(self) -> None:
        """Send each when it is due."""
        began = time.perf_counter()
        self.ends_at = began + self.seconds
        for number in range(int(self.seconds * self.rate)):
            due_at = began + number / self.rate
            if (wait := due_at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if self.failed.done():
                break
            if self.free:
                self.free.popleft().send(due_at)
            else:
                self.due.append(due_at)
        await self.over()


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._due_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        self._transport = transport
        self._load.free.append(self)

    def send(self, due_at: float) -> None:
        """Send the next request, which was due at this moment."""
        self._due_at = due_at
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        """Part of an answer."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """A whole answer."""
        status = self._parser.get_status_code()
        if status in STATUS:
            self._load.answered(self, self._due_at)
        elif not self._load.failed.done():
            self._load.failed.set_exception(RuntimeError(f"answered {status}"))

    def connection_lost(self, _: Exception | None) -> None:
        """The server closed it."""
        if not self._load.failed.done():
            self._load.failed.set_exception(ConnectionError("closed by the server"))


async def main(host: str, port: int, connections: int, seconds: float, rate: float) -> None:
    """Connect, then measure."""
    requests = [request.encode() for request in json.load(sys.stdin)]
    load = Paced(requests, seconds, rate) if rate else Saturating(requests, seconds)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Connection(load), host, port) for _ in range(connections)]
    cpu, began = time.process_time(), time.perf_counter()
    await load.run()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    load.failed.cancel()
    for transport, _ in opened:
        transport.abort()
    latencies = sorted(load.latencies)
    measured = {
        "requests": len(latencies),
        "seconds": took,
        "cpu_seconds": used,
        "median_seconds": latencies[len(latencies) // 2],
        "p99_seconds": latencies[int(len(latencies) * 0.99)],
    }
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    uvloop.run(main(arguments[0], int(arguments[1]), int(arguments[2]), float(arguments[3]), float(arguments[4])))
