"""Whether the log reaches back far enough for what is to be made from it."""

from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aggregator_contracts import InvalidEventError, OffersUpdated
from event_bus.decoding import ReceivedOffersUpdated, decode_published
from event_bus.log import Extent, LogEntry, OpenLog

FIRST_EVENTS: Final = timedelta(minutes=1)
"""Lists are published in another order than they were observed in, but hardly in one that differs by so much."""


class LogTooShortError(Exception):
    """The log does not reach back to where a state begins, or not to where it ends; the text is one line."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was made of events until now: when the first and the last list in it was observed, None if none was."""

    oldest: datetime | None
    newest: datetime | None


async def must_reach_back(log: OpenLog, extent: Extent | None, kept: Kept) -> None:
    """See that the log, of this extent, can bring back what is kept.

    Raises:
        LogTooShortError: it can't; or it can't be told, as it begins with what was observed at much the same time.
        ConnectionError, OffsetError: as `replay` does.
    """
    if extent is None:
        raise LogTooShortError("the log is empty")
    if extent.first > 0:
        raise LogTooShortError(_no_longer_whole(extent))
    if kept.oldest is None:
        return
    observed = await _first_observation(log, extent)
    if observed is None or kept.oldest < observed:
        raise LogTooShortError(f"what is there begins at {_text(kept.oldest)}, and the log {_begins(observed)}")


async def must_join(log: OpenLog, extent: Extent | None, kept: Kept | None) -> None:
    """See that nothing was published between the last of what is kept (None if nothing is) and the log's first event.

    Raises:
        LogTooShortError: something was, or may have been.
        ConnectionError, OffsetError: as `replay` does.
    """
    if kept is None or kept.newest is None:
        if extent is not None and extent.first > 0:
            raise LogTooShortError(f"there are no offers yet, and {_no_longer_whole(extent)}")
        return
    observed = None if extent is None else await _first_observation(log, extent)
    if observed is None or kept.newest < observed:
        raise LogTooShortError(f"what is there ends at {_text(kept.newest)}, and the log {_begins(observed)}")


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


def _no_longer_whole(extent: Extent) -> str:
    return f"the log no longer has its first events: it begins with offset {extent.first}"


def _begins(observed: datetime | None) -> str:
    return "has no offers" if observed is None else f"begins at {_text(observed)}"


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
