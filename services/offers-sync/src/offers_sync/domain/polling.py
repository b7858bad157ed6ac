"""The work of polling as values: a bucket held for one slot, its products, and what was found."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from offers_sync.domain.offers import OfferList


@dataclass(eq=False, slots=True)
class HeldBucket:
    """A bucket claimed for one slot.

    Attributes:
        fence: grows with each claim of the bucket, by anyone.
        slot: the database's time for which it was due, in seconds since 1970.
        held_until: the monotonic moment at which the lease may have ended.
        unfinished: products still to be polled.
        called: whether a call for any of them was made, and `answered` whether one was answered.
    """

    bucket: int
    fence: int
    slot: float
    held_until: float
    unfinished: int = 0
    called: bool = False
    answered: bool = False


class DueProduct(NamedTuple):
    """A product to be polled now; one of these is made for each poll, which as a dataclass would cost four times more.

    Attributes:
        digest: that of the list last published; None if the next must be published.
        body_digest: that of the body in which it came, if that is known.
    """

    product_id: UUID
    digest: bytes | None
    body_digest: bytes | None
    revision: int
    bucket: HeldBucket


@dataclass(frozen=True, slots=True)
class ChangedList:
    """A list that differs from the one last published for its product, in the given revision."""

    product_id: UUID
    bucket: HeldBucket
    found: OfferList
    revision: int
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownProduct:
    """A product that the Offers microservice no longer knows."""

    product_id: UUID
    bucket: HeldBucket


class ReleasedBucket(NamedTuple):
    """A bucket to be let go; due at its next slot, or at `due_epoch` if that is given."""

    bucket: HeldBucket
    due_epoch: float | None = None
