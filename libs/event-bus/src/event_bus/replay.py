"""Hands what is in the log to handlers, as if it were consumed: for whoever makes its state from it anew."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog

from aggregator_contracts import Event, InvalidEventError
from event_bus.decoding import decode_published
from event_bus.log import Extent, OpenLog

AT_ONCE: Final = 200
"""Events in hand."""
PROGRESS_SECONDS: Final = 10.0

_log = structlog.get_logger()

Handlers = Mapping[type[Event], Callable[[Any], Awaitable[None]]]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was read of the log (None when it was empty), and how many events were handled or unreadable.

    A consumer parks what is unreadable; here it is left out.
    """

    extent: Extent | None
    handled: int = 0
    unreadable: int = 0


async def replay(log: OpenLog, extent: Extent | None, handlers: Handlers) -> Replayed:
    """Have handled what the log had when this was its extent, each event by the handler of its type, if there is one.

    Up to 200 events are in hand at once: handlers are begun in the log's order, and see to the order of their work.

    Raises:
        ConnectionError: the connection was lost.
        OffsetError: the log dropped events before they were read.
        Exception: whatever a handler raises ends it.
    """
    if extent is None:
        return Replayed(None)
    by_type = {event_class.TYPE: handler for event_class, handler in handlers.items()}
    handled = unreadable = 0
    loop = asyncio.get_running_loop()
    say_at = loop.time() + PROGRESS_SECONDS
    places = asyncio.Semaphore(AT_ONCE)

    async def handle(handler: Callable[[Any], Awaitable[None]], event: Any) -> None:
        try:
            await handler(event)
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as handling, aclosing(log.read(extent.first, until=extent.last)) as entries:
            async for entry in entries:
                if (handler := by_type.get(entry.type)) is not None:
                    try:
                        event = decode_published(entry.body, entry.type)
                    except InvalidEventError as error:
                        _log.warning("event_unreadable", offset=entry.offset, reason=str(error))
                        unreadable += 1
                    else:
                        await places.acquire()
                        handling.create_task(handle(handler, event))
                        handled += 1
                if loop.time() >= say_at:
                    _log.info("replaying", offset=entry.offset, last=extent.last, handled=handled)
                    say_at = loop.time() + PROGRESS_SECONDS
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return Replayed(extent, handled, unreadable)
