"""One HTTP/1.1 connection: parsed by llhttp, answered in order, on a transport that deliveries may abuse."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import unquote

import httptools
import structlog

from offers_simulator.http.message import Answer, Delivery, Request, Response, json_response

LARGEST_BODY: Final = 64 * 1024 * 1024
MOST_PIPELINED: Final = 1000
FLUSH_POLL_SECONDS: Final = 0.001
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

_log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """Feeds requests to `application` and writes its answers.

    A plain response is written at once. A delivery runs as a task; requests that come meanwhile wait their turn.
    """

    def __init__(self, application: Callable[[Request], Answer], open_connections: set["Connection"]) -> None:
        self._application = application
        self._open_connections = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._delivery: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """The client left, or we closed."""
        self._open_connections.discard(self)
        self._waiting.clear()
        self._writable.set()
        if self._delivery is not None:
            self._delivery.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came; complete requests are answered from within."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._transport.close()  # a wish to change the protocol: answered as HTTP/1.1, and that was all
        except httptools.HttpParserError as error:
            self._refuse(400, str(error))

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def abort(self) -> None:
        """Drop the connection without waiting for anything."""
        self._transport.abort()

    # Called by the parser.

    def on_message_begin(self) -> None:  # noqa: D102
        self._begin()

    def on_url(self, url: bytes) -> None:  # noqa: D102
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:  # noqa: D102
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._size += len(body)
        if self._size <= LARGEST_BODY:
            self._body.append(body)
        elif not self._transport.is_closing():
            self._refuse(413, f"A body has at most {LARGEST_BODY} bytes")

    def on_message_complete(self) -> None:  # noqa: D102
        if self._transport.is_closing():
            return
        path, _, query = self._url.partition(b"?")
        request = Request(
            self._parser.get_method().decode("ascii"),
            unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1"),
            query.decode("latin-1"),
            self._headers,
            b"".join(self._body),
        )
        keep_alive = self._parser.should_keep_alive()
        if self._delivery is None:
            self._answer(request, keep_alive)
        elif len(self._waiting) < MOST_PIPELINED:
            self._waiting.append((request, keep_alive))
        else:
            self._transport.abort()

    # What a delivery may do.

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client reads too slowly."""
        self._transport.write(data)
        await self._writable.wait()

    async def flushed(self) -> None:
        """Wait until the operating system has taken every byte written."""
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(FLUSH_POLL_SECONDS)

    def reset(self) -> None:
        """Close with a TCP reset instead of an orderly end."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0

    def _answer(self, request: Request, keep_alive: bool) -> None:  # noqa: FBT001 - the parser's finding
        try:
            answer = self._application(request)
        except Exception:  # noqa: BLE001 - the edge: logged, and the client gets a 500
            _log.exception("request_failed", method=request.method, path=request.path)
            answer = json_response(500, {"code": "INTERNAL SERVER ERROR", "msg": "The simulator failed, see its log"})
        if isinstance(answer, Response):
            self._write(answer, request, keep_alive)
        else:
            self._delivery = asyncio.get_running_loop().create_task(self._deliver(answer, keep_alive))

    def _write(self, response: Response, request: Request, keep_alive: bool) -> None:  # noqa: FBT001
        wire = response.wire
        if request.method == "HEAD":
            wire = wire[: response.head_length]
        if keep_alive:
            self._transport.write(wire)
        else:
            self._transport.write(wire.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            self._transport.close()

    async def _deliver(self, delivery: Delivery, keep_alive: bool) -> None:  # noqa: FBT001
        try:
            await delivery.deliver(self)
        except Exception:  # noqa: BLE001 - the edge: logged, and the client sees the connection end
            _log.exception("delivery_failed", delivery=type(delivery).__name__)
            self._transport.abort()
        self._delivery = None
        if not keep_alive:
            self._transport.close()
        while self._waiting and self._delivery is None and not self._transport.is_closing():
            self._answer(*self._waiting.popleft())

    def _refuse(self, status: int, reason: str) -> None:
        self._transport.write(
            json_response(status, {"code": "BAD REQUEST", "msg": reason}, (("Connection", "close"),)).wire
        )
        self._transport.close()
