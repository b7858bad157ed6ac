"""TCP proxies that misbehave on demand, one for each server that a stack reaches through them."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

from tests.faults.laboratory.networks import Network

CHUNK: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_NEVER_CUT: Final = float("inf")


class Link:
    """The way to one server, which may be in another network.

    Every fault holds for open and for new connections, until `restore`.
    """

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop, network: Network | None = None) -> None:
        self._host, self._port, self._loop = host, port, loop
        self._new_socket = socket.socket if network is None else network.socket
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._refusing = False
        self._bytes_left = _NEVER_CUT
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        #: The monotonic moments at which connections were begun, refused ones included.
        self.attempts: list[float] = []

    async def listen(self, port: int = 0) -> None:
        """Take this port, or any free one."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and cut what is open: what waits to be sent would keep it so beyond the end of the loop."""
        self._server.close()
        self._cut_all()

    def delay(self, seconds: float) -> None:
        """Forward everything so much later, in each direction."""
        self._delay = seconds

    def black_hole(self) -> None:
        """Let nothing through and say nothing: packets are dropped, and come through by retransmission afterwards."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def reset(self) -> None:
        """Cut every connection with a TCP reset; new ones are fine."""
        self._loop.call_soon_threadsafe(self._cut_all)

    def refuse(self) -> None:
        """Cut every connection, and each new one at once."""
        self._refusing = True
        self.reset()

    def cut_after(self, count: int) -> None:
        """Let so many more bytes through from the server, then cut whatever connection carries the next one."""
        self._bytes_left = count

    def restore(self) -> None:
        """End all faults."""
        self._delay, self._refusing, self._bytes_left = 0.0, False, _NEVER_CUT
        self._loop.call_soon_threadsafe(self._flowing.set)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts.append(time.monotonic())
        if self._refusing:
            _reset(writer)
            return
        server = self._new_socket()
        server.setblocking(False)
        try:
            await self._loop.sock_connect(server, (self._host, self._port))
        except BaseException as error:
            server.close()
            _reset(writer)
            if not isinstance(error, OSError):
                raise
            return
        server_reader, server_writer = await asyncio.open_connection(sock=server)
        ends = {writer, server_writer}
        self._open |= ends
        pumps = [
            asyncio.ensure_future(self._pump(reader, server_writer, counted=False)),
            asyncio.ensure_future(self._pump(server_reader, writer, counted=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._open -= ends
            for end in ends:
                end.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                if counted and self._bytes_left < len(data):
                    target.write(data[: int(self._bytes_left)])
                    self._bytes_left = 0
                    _reset(target)
                    return
                if counted:
                    self._bytes_left -= len(data)
                target.write(data)
                await target.drain()

    def _cut_all(self) -> None:
        for end in self._open:
            _reset(end)


def _reset(end: asyncio.StreamWriter) -> None:
    connection = end.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.transport.abort()


class Proxies:
    """Runs the links in a thread of its own, which neither a test nor its load holds up."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._links: dict[str, Link] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for link in self._links.values():
            link.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def reach(self, url: str) -> str:
        """The URL that leads to the same place through a link, which is made when it is first asked for.

        The URLs of a cluster's nodes stay as they are.
        """
        if "," in url:
            return url
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"{url} names no host and port")
        link = self._links.get(parts.scheme)
        if link is None:
            link = self._links[parts.scheme] = Link(parts.hostname, parts.port, self._loop)
            asyncio.run_coroutine_threadsafe(link.listen(), self._loop).result(10)
        account = parts.netloc.rpartition("@")[0]
        place = f"{account}@127.0.0.1:{link.port}" if account else f"127.0.0.1:{link.port}"
        return urlunsplit(parts._replace(netloc=place))

    def lead(self, port: int, host: str, network: Network) -> Link:
        """Have a port of the loopback address lead to the same port of a host in another network."""
        link = self._links[f"{host}:{port}"] = Link(host, port, self._loop, network)
        asyncio.run_coroutine_threadsafe(link.listen(port), self._loop).result(10)
        return link

    @property
    def database(self) -> Link:
        """The way to PostgreSQL."""
        return self._links["postgresql"]

    @property
    def broker(self) -> Link:
        """The way to RabbitMQ."""
        return self._links["amqp"]

    @property
    def offers_ms(self) -> Link:
        """The way to the Offers MS."""
        return self._links["http"]

    @property
    def links(self) -> list[Link]:
        """All ways, in a fixed order."""
        return [self.database, self.broker, self.offers_ms]

    def restore(self) -> None:
        """End all faults of all links."""
        for link in self._links.values():
            link.restore()
