"""A stream of events as an answer: server-sent events, one chunk after the other until its end or the client's.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import msgspec
from prometheus_client import Counter, Gauge
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from catalog_api.domain.streams import Gap, StreamEnd, StreamEndedError
from catalog_api.live.event import LiveEvent, Wanted
from catalog_api.use_cases.follow_events import Following, Progress
from http_api import EVENT_STREAM

RETRY_MILLISECONDS: Final = (1000, 4000)
"""After how long clients come again: not all at once when a process is started again."""
LOOKS_PER_HEARTBEAT: Final = 3
GRANT_SECONDS: Final = 1.0
"""How often it is looked at most whether the client's token is good yet."""

open_streams = Gauge("aggregator_catalog_streams_open", "Streams of events that are open")
ended_streams = Counter("aggregator_catalog_streams_ended_total", "Streams of events that ended", ["reason"])
told_gaps = Counter("aggregator_catalog_stream_gaps_total", "Gaps that clients were told of")

Granted = Callable[[], Awaitable[bool]]
"""Whether the client may go on."""


async def anyone() -> bool:
    """For where access is off."""
    return True


class EventStream(StreamingResponse):
    """What a client wants of the events that it follows; in quiet times, its position every `heartbeat_seconds`."""

    media_type = EVENT_STREAM

    def __init__(self, following: Following, wanted: Wanted, *, heartbeat_seconds: float, granted: Granted) -> None:
        self._following = following
        self._wanted = wanted
        self._heartbeat_seconds = heartbeat_seconds
        self._granted = granted
        self._chunks = self._told()
        # nginx passes on what it is sent at once with this header only.
        super().__init__(self._chunks, headers={"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI wants it
        """Serve it until one of both sides ends it.

        Not Starlette's way: there everything that is awaited while a stream is closed is cancelled again, so that a
        reader of the log would not be closed at the broker.
        """
        sending = asyncio.create_task(self.stream_response(send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait((sending, leaving))
            await self._chunks.aclose()
        if not sending.cancelled():
            sending.result()

    async def _told(self) -> AsyncGenerator[bytes]:
        open_streams.inc()
        end = StreamEnd.LEFT
        try:
            yield b"retry: %d\n\n" % random.randint(*RETRY_MILLISECONDS)  # noqa: S311 - not a secret
            async with aclosing(self._news()) as news:
                async for chunk in news:
                    yield chunk
        except StreamEndedError as ended:
            end = ended.reason
        finally:
            open_streams.dec()
            ended_streams.labels(end).inc()

    async def _news(self) -> AsyncGenerator[bytes]:
        clock = asyncio.get_running_loop().time
        told_at, granted_at = float("-inf"), clock()
        async with aclosing(self._following.progress(self._heartbeat_seconds / LOOKS_PER_HEARTBEAT)) as way:
            async for step in way:
                if clock() - granted_at > GRANT_SECONDS:
                    granted_at = clock()
                    if not await self._granted():
                        raise StreamEndedError(StreamEnd.ACCESS)
                chunk = self._chunk(step)
                if not chunk and clock() - told_at >= self._heartbeat_seconds:
                    chunk = position(step.position)
                if chunk:
                    told_at = clock()
                    yield chunk

    def _chunk(self, step: Progress | Gap) -> bytes:
        if isinstance(step, Gap):
            told_gaps.inc()
            return gap(step)
        wanted = self._wanted.of
        return b"".join(frame(event, data) for event in step.events if (data := wanted(event)) is not None)


def frame(event: LiveEvent, data: bytes) -> bytes:
    """An event; its id is what the client comes again with."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.offset, event.type.encode(), data)


def gap(missed: Gap) -> bytes:
    """The event that says that others are lost to the client, and where it is now."""
    data = msgspec.json.encode({"missed_from": missed.missed_from, "missed_to": missed.missed_to})
    return b"id: %d\nevent: gap\ndata: %s\n\n" % (missed.position - 1, data)


def position(next_offset: int) -> bytes:
    """No event, but the client's id moves, behind those that are not for it."""
    return b"id: %d\n:\n\n" % (next_offset - 1)
