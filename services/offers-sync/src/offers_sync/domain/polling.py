"""The work of polling as values: a bucket held for one slot, its products, and what was found."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from offers_sync.domain.offers import Offer


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


@dataclass(frozen=True, slots=True)
class DueProduct:
    """A product to be polled now; `digest` is that of the list last published, None if the next must be published."""

    product_id: UUID
    digest: bytes | None
    revision: int
    bucket: HeldBucket


@dataclass(frozen=True, slots=True)
class ChangedList:
    """A list that differs from the one last published for its product."""

    product_id: UUID
    bucket: HeldBucket
    offers: list[Offer]
    digest: bytes
    revision: int
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownProduct:
    """A product that the Offers microservice no longer knows."""

    product_id: UUID
    bucket: HeldBucket


@dataclass(frozen=True, slots=True)
class ReleasedBucket:
    """A bucket to be let go; due at its next slot, or at `due_epoch` if that is given."""

    bucket: HeldBucket
    due_epoch: float | None = None
