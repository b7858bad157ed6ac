"""Hands what is in the log to handlers, as if it were consumed: for whoever makes its state from it anew."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from aggregator_contracts import Event, InvalidEventError, OffersUpdated
from event_bus.decoding import ReceivedOffersUpdated, decode_published
from event_bus.log import Extent, LogEntry, OpenLog

AT_ONCE: Final = 200
"""Events in hand."""
PROGRESS_SECONDS: Final = 10.0
FIRST_EVENTS: Final = timedelta(minutes=1)
"""Lists are published in another order than they were observed in, but hardly in one that differs by so much."""

_log = structlog.get_logger()

Handlers = Mapping[type[Event], Callable[[Any], Awaitable[None]]]


class LogTooShortError(Exception):
    """The log does not reach back to where a state begins; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was read: the log's extent then (None when it was empty), and how many events were handled or unreadable.

    A consumer parks what is unreadable; here it is left out.
    """

    extent: Extent | None
    handled: int = 0
    unreadable: int = 0


async def replay(log: OpenLog, handlers: Handlers) -> Replayed:
    """Have all that is in the log by now handled, each event by the handler of its type, if there is one.

    Up to 200 events are in hand at once: handlers are begun in the log's order, and see to the order of their work.

    Raises:
        ConnectionError: the connection was lost.
        OffsetError: the log dropped events before they were read.
        Exception: whatever a handler raises ends it.
    """
    extent = await log.extent()
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


async def must_reach_back(log: OpenLog, oldest: datetime | None) -> None:
    """See that the log can bring back what was made of lists of offers, the first of them observed at `oldest`.

    Raises:
        LogTooShortError: it can't; or it can't be told, as it begins with what was observed at much the same time.
        ConnectionError, OffsetError: as `replay` does.
    """
    if oldest is None:
        return  # there is nothing to bring back
    extent = await log.extent()
    if extent is None:
        raise LogTooShortError("the log is empty")
    if extent.first > 0:
        raise LogTooShortError(f"the log no longer has its first events: it begins with offset {extent.first}")
    observed = await _first_observation(log, extent)
    if observed is None or oldest < observed:
        begins = "has no offers" if observed is None else f"begins at {observed.isoformat(timespec='seconds')}"
        raise LogTooShortError(f"what is there begins at {oldest.isoformat(timespec='seconds')}, and the log {begins}")


async def _first_observation(log: OpenLog, extent: Extent) -> datetime | None:
    observed: datetime | None = None
    until: datetime | None = None
    async with aclosing(log.read(extent.first, until=extent.last)) as entries:
        async for entry in entries:
            event = _offers_updated(entry)
            if event is None:
                continue
            if until is not None and event.time > until:
                break
            earliest = min(update.observed_at for update in event.data.updates)
            observed = earliest if observed is None else min(observed, earliest)
            until = until or event.time + FIRST_EVENTS
    return observed


def _offers_updated(entry: LogEntry) -> ReceivedOffersUpdated | None:
    if entry.type != OffersUpdated.TYPE:
        return None
    try:
        event = decode_published(entry.body, entry.type)
    except InvalidEventError:
        return None
    return event if isinstance(event, ReceivedOffersUpdated) else None
