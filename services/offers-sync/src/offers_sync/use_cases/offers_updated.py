"""The event `OffersUpdated`, written in the fewest steps: it is most of what a changed list costs.

Each list was encoded for its digest already. The contract's class would check once more what was checked row by row as
it was read, and take two hundred times as long.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import msgspec

from aggregator_contracts import OffersUpdated
from aggregator_contracts.envelope import MAX_TOGETHER
from event_bus import OutgoingEvent
from offers_sync.domain.polling import ChangedList

MAX_OFFERS: Final = 5_000
"""Offers in one message, unless a single product has more; keeps messages far below the broker's 16 MiB."""


class _Update(msgspec.Struct):
    product_id: UUID
    revision: int
    observed_at: datetime
    offers: msgspec.Raw


class _Data(msgspec.Struct):
    updates: list[_Update]


class _Event(msgspec.Struct):
    id: str
    time: datetime
    data: _Data
    specversion: str = "1.0"
    source: str = OffersUpdated.SOURCE
    type: str = OffersUpdated.TYPE
    datacontenttype: str = "application/json"


_encode: Final = msgspec.json.Encoder().encode


def offers_updated(changes: Sequence[ChangedList]) -> OutgoingEvent:
    """The event for 1 to 100 products, each once."""
    updates = [
        _Update(change.product_id, change.revision, change.observed_at, msgspec.Raw(change.found.encoded))
        for change in changes
    ]
    event = _Event(str(uuid4()), datetime.now(UTC), _Data(updates))
    return OutgoingEvent(event.id, event.type, _encode(event))


def in_messages(changes: Iterable[ChangedList]) -> Iterator[list[ChangedList]]:
    """Parts of at most 100 products and, together, 5,000 offers."""
    part: list[ChangedList] = []
    offers = 0
    for change in changes:
        count = len(change.found.offers)
        if part and (len(part) == MAX_TOGETHER or offers + count > MAX_OFFERS):
            yield part
            part, offers = [], 0
        part.append(change)
        offers += count
    if part:
        yield part
