"""An event as a client gets it: the bytes that were published, or only what it says of some products.

What is passed on as a whole is never decoded. What is to be narrowed is looked through once for all clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from event_bus import LogEntry

BATCHES: Final = ("updates", "changes")
"""The lists in `data` of the events that speak of several products; all others have the product as their `subject`."""
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")

_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode


class _OfProduct(msgspec.Struct):
    product_id: str


_decode_of_product: Final = msgspec.json.Decoder(_OfProduct).decode


@dataclass(frozen=True, slots=True)
class _Batch:
    """The parts of an event about several products, each part as its JSON."""

    envelope: Mapping[str, msgspec.Raw]
    data: Mapping[str, msgspec.Raw]
    name: str
    parts: Mapping[str, msgspec.Raw]

    def only(self, products: frozenset[str]) -> bytes | None:
        parts = [part for product, part in self.parts.items() if product in products]
        return _encode({**self.envelope, "data": {**self.data, self.name: parts}}) if parts else None


@dataclass(frozen=True, slots=True)
class _Whole:
    """An event about one product, or, where nothing tells which, about none."""

    body: bytes
    product: str | None

    def only(self, products: frozenset[str]) -> bytes | None:
        return self.body if self.product in products else None


@dataclass(slots=True)
class LiveEvent:
    """An event in the log. `body` is its JSON in one line."""

    offset: int
    type: str
    body: bytes
    _looked_through: _Batch | _Whole | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, entry: LogEntry) -> Self:
        """The event of an entry. In JSON a line may end only where a space may be, too."""
        body = entry.body
        if b"\n" in body or b"\r" in body:
            body = body.translate(_LINE_ENDS)
        return cls(entry.offset, " ".join(entry.type.split()), body)

    def only(self, products: frozenset[str]) -> bytes | None:
        """What it says of these products, with its envelope as it is; None if that is nothing."""
        if self._looked_through is None:
            self._looked_through = _look_through(self.body)
        return self._looked_through.only(products)


def _look_through(body: bytes) -> _Batch | _Whole:
    try:
        envelope = _decode_fields(body)
        if "subject" in envelope:
            return _Whole(body, _decode_text(envelope["subject"]))
        data = _decode_fields(envelope["data"])
        for name in BATCHES:
            if name in data:
                parts = _decode_list(data[name])
                return _Batch(envelope, data, name, {_decode_of_product(part).product_id: part for part in parts})
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
        pass  # no event of the contract, so it is about no product
    return _Whole(body, None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client asked for; an empty set stands for all."""

    types: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    """Their ids in lower case."""

    def of(self, event: LiveEvent) -> bytes | None:
        """What of the event is for the client; None if nothing is."""
        if self.types and event.type not in self.types:
            return None
        return event.only(self.products) if self.products else event.body
