"""A product: what its users say of it, and what the catalog keeps of it."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
import uuid_utils.compat

NAME_MAX: Final = 200
DESCRIPTION_MAX: Final = 10_000

new_product_id: Callable[[], UUID] = uuid_utils.compat.uuid7
"""A UUIDv7; those that one process makes grow, so that a batch keeps its order."""


class Registration(StrEnum):
    """Whether the Offers MS knows the product."""

    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"


def checked_name(raw: str) -> str:
    """The name trimmed.

    Raises:
        ValueError: it is not 1 to 200 characters of Unicode text without NUL.
    """
    name = _checked_text(raw).strip()
    if not 1 <= len(name) <= NAME_MAX:
        raise ValueError(f"must have 1 to {NAME_MAX} characters after trimming")
    return name


def checked_description(raw: str) -> str:
    """The description as it is.

    Raises:
        ValueError: it is longer than 10,000 characters, or not Unicode text without NUL.
    """
    description = _checked_text(raw)
    if len(description) > DESCRIPTION_MAX:
        raise ValueError(f"must have at most {DESCRIPTION_MAX} characters")
    return description


def _checked_text(raw: str) -> str:
    if "\x00" in raw:
        raise ValueError("must not contain NUL")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return raw


class ProductText(msgspec.Struct, frozen=True):
    """What a user says of a product; both parts have passed their check."""

    name: str
    description: str


class Product(msgspec.Struct, frozen=True):
    """A product with the summary of its offers. The fields, in this order, are the contract's JSON."""

    id: UUID
    name: str
    description: str
    version: int
    created_at: datetime
    updated_at: datetime
    registration: Registration
    best_price: int | None
    offers_count: int
    offers_observed_at: datetime | None

    @property
    def text(self) -> ProductText:
        """What its user said of it last."""
        return ProductText(self.name, self.description)

    def after_change(self, text: ProductText, at: datetime) -> "Product":
        """The next version, which says `text`. A product that was refused gets another chance to be registered."""
        pending = Registration.PENDING if self.registration == Registration.FAILED else self.registration
        return msgspec.structs.replace(
            self,
            name=text.name,
            description=text.description,
            version=self.version + 1,
            updated_at=at,
            registration=pending,
        )
