"""Which calls misbehave: the faults in force, in the order in which they were set."""

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import msgspec

from offers_simulator.faults.kinds import (
    BlackHoleFault,
    Body,
    ContentType,
    DeepNesting,
    Delay,
    DripFault,
    GzipBomb,
    HugeBody,
    Redirect,
    ResetFault,
    StatusFault,
    TruncatedJson,
)
from offers_simulator.faults.list_kinds import (
    DuplicateIds,
    Empty,
    ExtraFields,
    ManyOffers,
    MissingField,
    NotAList,
    NotANumber,
    OfferIds,
    Price,
    SharedId,
)
from offers_simulator.product_ids import is_uuid_like

ANY_ENDPOINT: Final = "*"
AnyFault = (
    BlackHoleFault | Body | ContentType | DeepNesting | Delay | DripFault | DuplicateIds | Empty | ExtraFields
    | GzipBomb | HugeBody | ManyOffers | MissingField | NotAList | NotANumber | OfferIds | Price | Redirect
    | ResetFault | SharedId | StatusFault | TruncatedJson
)  # fmt: skip
Place = tuple[str, str | None]


@dataclass(slots=True)
class ActiveFault:
    """A fault in force: how many calls it still has (None: all) and how many it has had."""

    number: int
    fault: AnyFault
    remaining: int | None
    hits: int = 0

    @property
    def kind(self) -> str:
        """The kind's name in the admin API."""
        return str(self.fault.__struct_config__.tag)

    def described(self) -> dict[str, object]:
        """As the admin API shows it."""
        return {"id": self.number, "remaining": self.remaining, "hits": self.hits, "fault": self.fault}


@dataclass(slots=True)
class FaultBoard:
    """One queue for each endpoint and product; a call takes the oldest fault of the most particular queue."""

    _queues: dict[Place, deque[ActiveFault]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, fault: AnyFault) -> ActiveFault:
        """Put a fault in force."""
        active = ActiveFault(next(self._numbers), fault, fault.times)
        self._queues.setdefault((fault.endpoint, fault.product), deque()).append(active)
        return active

    def active(self) -> list[ActiveFault]:
        """All faults in force, oldest first."""
        return sorted((fault for queue in self._queues.values() for fault in queue), key=lambda fault: fault.number)

    def clear(self) -> int:
        """End all faults; how many there were."""
        ended = len(self.active())
        self._queues.clear()
        return ended

    def remove(self, number: int) -> bool:
        """End one fault; whether it was in force."""
        for place, queue in self._queues.items():
            for active in queue:
                if active.number == number:
                    self._drop(place, active)
                    return True
        return False

    def take(self, endpoint: str, product_id: str | None) -> ActiveFault | None:
        """The fault that this call meets, counted."""
        places = ((endpoint, product_id), (ANY_ENDPOINT, product_id), (endpoint, None), (ANY_ENDPOINT, None))
        for place in places if product_id is not None else places[2:]:
            if queue := self._queues.get(place):
                active = queue[0]
                active.hits += 1
                if active.remaining is not None:
                    active.remaining -= 1
                    if active.remaining == 0:
                        self._drop(place, active)
                return active
        return None

    def _drop(self, place: Place, active: ActiveFault) -> None:
        queue = self._queues[place]
        queue.remove(active)
        if not queue:
            del self._queues[place]


def read_fault(content: bytes) -> AnyFault:
    """A fault from the admin API's JSON; its product id becomes lower-case.

    Raises:
        msgspec.ValidationError: the content is JSON but no fault; the message names what is wrong.
        msgspec.DecodeError: the content is not JSON.
    """
    fault = _decoder.decode(content)
    if fault.product is None:
        return fault
    if fault.endpoint == "auth":
        raise msgspec.ValidationError("`auth` is not about a product - at `$.product`")
    if not is_uuid_like(fault.product):
        raise msgspec.ValidationError("Expected a UUID - at `$.product`")
    return msgspec.structs.replace(fault, product=fault.product.lower())


_decoder: Final[msgspec.json.Decoder[AnyFault]] = msgspec.json.Decoder(AnyFault)
