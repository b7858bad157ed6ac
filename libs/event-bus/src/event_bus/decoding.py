"""Decodes events, and `OffersUpdated`, of which there are by far the most, in a tenth of the time.

The contract's classes take 8 us for a product with five offers, structs take 0.8. A body written exactly as the schema
is today becomes structs; any other, with a field more or with anything wrong, goes to `parse_event`, whose word is
final. So the same events are accepted, and the others are refused for the same reasons.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, Self
from uuid import UUID

import msgspec

from aggregator_contracts import Event, OffersUpdated, parse_event
from aggregator_contracts.envelope import MAX_INT32, MAX_INT64, MAX_TOGETHER

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    pass


class ReceivedOffer(_Part, frozen=True):
    """The contract's `Offer`."""

    id: _Text
    price: Annotated[int, msgspec.Meta(ge=0, le=MAX_INT64)]
    items_in_stock: Annotated[int, msgspec.Meta(ge=0, le=MAX_INT32)]


class ReceivedUpdate(_Part, frozen=True):
    """The contract's `OffersUpdate`."""

    product_id: UUID
    revision: Annotated[int, msgspec.Meta(ge=1, le=MAX_INT64)]
    observed_at: _Time
    offers: list[ReceivedOffer]


class ReceivedUpdates(_Part, frozen=True):
    """The contract's `OffersUpdatedData`."""

    updates: Annotated[list[ReceivedUpdate], msgspec.Meta(min_length=1, max_length=MAX_TOGETHER)]


class ReceivedOffersUpdated(_Part, frozen=True):
    """The contract's `OffersUpdated`; a time's digits beyond the microsecond, which we never write, are rounded."""

    specversion: Literal["1.0"]
    id: _Text
    source: Literal["/offers-sync"]
    type: Literal["offers.offers-updated.v1"]
    time: _Time
    datacontenttype: Literal["application/json"]
    data: ReceivedUpdates

    @classmethod
    def of(cls, event: OffersUpdated) -> Self:
        """The same event."""
        return msgspec.convert(event, cls, from_attributes=True)


ReceivedEvent = ReceivedOffersUpdated | Event

_decode: Final = msgspec.json.Decoder(ReceivedOffersUpdated).decode


def decode_event(body: bytes) -> ReceivedEvent:
    """The event in a message's body.

    Raises:
        InvalidEventError: the body is not JSON, of an unknown type, or violates its schema.
    """
    event = decode_as_written_today(body)
    if event is not None:
        return event
    parsed = parse_event(body)
    return ReceivedOffersUpdated.of(parsed) if isinstance(parsed, OffersUpdated) else parsed


def decode_as_written_today(body: bytes) -> ReceivedOffersUpdated | None:
    """The `OffersUpdated` in a body; None if it is anything else, or if `parse_event` has to look more closely."""
    try:
        event = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    updates = event.data.updates
    # What a struct can't say: no id has a NUL, which comes as this escape only, and each product comes once.
    if b"\\u0000" in body or len({update.product_id for update in updates}) < len(updates):
        return None
    return event
