"""What comes in and what goes out: requests, and responses that keep their own encoded bytes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import msgspec

JSON: Final = "application/json"
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str | None:
        """The header's value, the last one where it was sent twice."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def parameters(self) -> dict[str, str]:
        """The query string's parameters, the last value of each."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


class Response:
    """A whole answer, encoded once: the same object may be sent any number of times."""

    __slots__ = ("_body_length", "content_type", "status", "wire")

    def __init__(
        self, status: int, body: bytes, content_type: str = JSON, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.status = status
        self.content_type = content_type
        self.wire = head(status, content_type, len(body), headers) + body
        self._body_length = len(body)

    @property
    def head_length(self) -> int:
        """Where in `wire` the body begins."""
        return len(self.wire) - self._body_length

    @property
    def body(self) -> bytes:
        """The body alone."""
        return self.wire[self.head_length :]


class Wire(Protocol):
    """What a delivery may do with the connection it answers on."""

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client reads too slowly."""

    async def flushed(self) -> None:
        """Wait until the operating system has taken every byte written."""

    def reset(self) -> None:
        """Close with a TCP reset instead of an orderly end."""


class Delivery(Protocol):
    """An answer that is more, or less, than bytes written at once. Cancelled when the client leaves."""

    @property
    def status(self) -> int | None:
        """The status that the client gets to see; None when it gets none."""

    async def deliver(self, wire: Wire) -> None:
        """Answer on this connection."""


Answer = Response | Delivery


@dataclass(frozen=True, slots=True)
class Stream:
    """A body sent piece by piece, so that its size costs no memory."""

    head: bytes
    pieces: AsyncIterator[bytes]
    status: int | None = 200

    async def deliver(self, wire: Wire) -> None:
        """Send the head, then every piece as fast as the client takes it."""
        await wire.send(self.head)
        async for piece in self.pieces:
            await wire.send(piece)


def head(status: int, content_type: str, length: int | None, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Status line and headers; a `length` of None announces a chunked body."""
    phrase = _PHRASES.get(status, "Unknown")
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {content_type}", size]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def json_response(status: int, content: Any, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Any JSON value as a response."""
    return Response(status, msgspec.json.encode(content), headers=headers)
