"""Ways of answering that a well-behaved server does not have."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal
from zlib import DEFLATED, Z_FULL_FLUSH, compressobj, crc32

from offers_simulator.http.message import JSON, Answer, Response, Stream, Wire, head

MEGABYTE: Final = 1_000_000
_ROW: Final = b'{"id":1,"price":10000,"items_in_stock":5}'
_PADDING: Final = b",\n" + _ROW
_PIECE: Final = (_PADDING * (MEGABYTE // len(_PADDING))).ljust(MEGABYTE)
_WINDOW_BITS: Final = -15
_GZIP_HEADER: Final = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])


@dataclass(frozen=True, slots=True)
class Delayed:
    """The answer, some seconds later."""

    seconds: float
    answer: Answer

    @property
    def status(self) -> int | None:
        """That of the answer."""
        return self.answer.status

    async def deliver(self, wire: Wire) -> None:
        """Wait, then answer."""
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, Response):
            await wire.send(self.answer.wire)
        else:
            await self.answer.deliver(wire)


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Nothing, for as long as the client holds the connection."""

    status: None = None

    async def deliver(self, wire: Wire) -> None:  # noqa: ARG002 - nothing is sent
        """Wait until the client leaves, which cancels the wait."""
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Reset:
    """A TCP reset, before the answer, after its headers, or in the middle of its body."""

    response: Response
    at: Literal["start", "headers", "body"]

    @property
    def status(self) -> int | None:
        """What the client got to see before the reset."""
        return None if self.at == "start" else self.response.status

    async def deliver(self, wire: Wire) -> None:
        """Send the part that comes before the reset, and see it leave."""
        headers = self.response.head_length
        length = {"start": 0, "headers": headers, "body": (headers + len(self.response.wire)) // 2}[self.at]
        await wire.send(self.response.wire[:length])
        await wire.flushed()
        wire.reset()


@dataclass(frozen=True, slots=True)
class Drip:
    """The headers at once, the body byte by byte."""

    response: Response
    bytes_per_second: float

    @property
    def status(self) -> int | None:
        """That of the response."""
        return self.response.status

    async def deliver(self, wire: Wire) -> None:
        """Send a byte, wait, send a byte."""
        headers = self.response.head_length
        await wire.send(self.response.wire[:headers])
        for position in range(headers, len(self.response.wire)):
            await asyncio.sleep(1 / self.bytes_per_second)
            await wire.send(self.response.wire[position : position + 1])


def long_list(megabytes: int) -> Stream:
    """A valid list of offers of about so many million bytes, with its length announced."""
    length = len(_ROW) + 2 + megabytes * len(_PIECE)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"[" + _ROW
        for _ in range(megabytes):
            yield _PIECE
            await asyncio.sleep(0)  # a fast client must not keep the others waiting
        yield b"]"

    return Stream(head(200, JSON, length), pieces())


def gzip_bomb(megabytes: int) -> Stream:
    """A valid list of offers that is small on the wire and expands to about so many million bytes."""
    piece, last = _compressed()

    async def pieces() -> AsyncIterator[bytes]:
        check = await asyncio.to_thread(_checksum, megabytes)
        yield _GZIP_HEADER + _deflated(b"[" + _ROW)
        for _ in range(megabytes):
            yield piece
            await asyncio.sleep(0)
        size = len(_ROW) + 2 + megabytes * len(_PIECE)
        yield last + check.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")

    length = len(_GZIP_HEADER) + len(_deflated(b"[" + _ROW)) + megabytes * len(piece) + len(last) + 8
    return Stream(head(200, JSON, length, (("Content-Encoding", "gzip"),)), pieces())


def _deflated(data: bytes) -> bytes:
    """Deflate blocks that refer to nothing before them, so that they can be repeated and strung together."""
    compressor = compressobj(9, DEFLATED, _WINDOW_BITS)
    return compressor.compress(data) + compressor.flush(Z_FULL_FLUSH)


@lru_cache(maxsize=1)
def _compressed() -> tuple[bytes, bytes]:
    """One piece of the body and its end."""
    compressor = compressobj(9, DEFLATED, _WINDOW_BITS)
    return _deflated(_PIECE), compressor.compress(b"]") + compressor.flush()


@lru_cache(maxsize=8)
def _checksum(megabytes: int) -> int:
    """CRC-32 of the expanded body: about a millisecond for each megabyte."""
    check = crc32(b"[" + _ROW)
    for _ in range(megabytes):
        check = crc32(_PIECE, check)
    return crc32(b"]", check)
