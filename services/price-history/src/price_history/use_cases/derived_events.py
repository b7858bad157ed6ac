"""The events that tell what lists mean for best prices, written in the fewest steps: most lists make some."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import msgspec

from aggregator_contracts import BackInStock, BestPriceChanged, Event, NewLow, OutOfStock
from aggregator_contracts.envelope import MAX_TOGETHER
from event_bus import OutgoingEvent
from price_history.domain.derived import BestPriceChange, Entry, LowReached, StockEnded, StockReturned
from price_history.domain.recording import Recorded

_EVENTS: Final[dict[type[Entry], type[Event]]] = {
    BestPriceChange: BestPriceChanged,
    LowReached: NewLow,
    StockReturned: BackInStock,
    StockEnded: OutOfStock,
}


class _Data(msgspec.Struct):
    changes: Sequence[Entry]


class _Event(msgspec.Struct):
    id: str
    type: str
    time: datetime
    data: _Data
    specversion: str = "1.0"
    source: str = BestPriceChanged.SOURCE
    datacontenttype: str = "application/json"


_encode: Final = msgspec.json.Encoder().encode


def derived_events(recorded: Iterable[Recorded]) -> list[OutgoingEvent]:
    """What is to be told of these, up to 100 products in an event."""
    entries: dict[type[Entry], list[Entry]] = {kind: [] for kind in _EVENTS}
    for result in recorded:
        if result.derived is not None:
            for entry in result.derived.entries:
                entries[type(entry)].append(entry)
    now = datetime.now(UTC)
    return [
        _event(_EVENTS[kind].TYPE, now, found[start : start + MAX_TOGETHER])
        for kind, found in entries.items()
        for start in range(0, len(found), MAX_TOGETHER)
    ]


def no_events(recorded: Iterable[Recorded]) -> list[OutgoingEvent]:  # noqa: ARG001 - whatever it is
    """What is to be told of history that is recorded once more: nothing, it was told before."""
    return []


def _event(event_type: str, time: datetime, changes: Sequence[Entry]) -> OutgoingEvent:
    event = _Event(str(uuid4()), event_type, time, _Data(changes))
    return OutgoingEvent(event.id, event_type, _encode(event))
