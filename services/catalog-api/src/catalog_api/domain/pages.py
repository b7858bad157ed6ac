"""Pages of products: how they are sorted, and the position at which one ends and the next begins."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from catalog_api.domain.product import Product

SortValue = datetime | str | int | None


class SortField(StrEnum):
    """What products are sorted by; ties are broken by id."""

    CREATED_AT = "created_at"
    NAME = "name"
    BEST_PRICE = "best_price"


class Sort(StrEnum):
    """The contract's values of `sort`. Names sort by code point; products without a price come last both ways."""

    CREATED_AT = "created_at"
    CREATED_AT_DESCENDING = "-created_at"
    NAME = "name"
    NAME_DESCENDING = "-name"
    BEST_PRICE = "best_price"
    BEST_PRICE_DESCENDING = "-best_price"

    @property
    def field(self) -> SortField:
        """The field without its direction."""
        return SortField(self.value.removeprefix("-"))

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.value.startswith("-")

    def value_of(self, product: Product) -> SortValue:
        """What this sort compares."""
        match self.field:
            case SortField.CREATED_AT:
                return product.created_at
            case SortField.NAME:
                return product.name
            case SortField.BEST_PRICE:
                return product.best_price


class Position(msgspec.Struct, frozen=True):
    """The last product of a page, as its sort sees it."""

    value: SortValue
    product_id: UUID


class Query(msgspec.Struct, frozen=True):
    """Which products, in which order, after which position. Every one of `words` must begin a word of the product."""

    sort: Sort
    words: tuple[str, ...]
    after: Position | None


class Page(msgspec.Struct, frozen=True):
    """Products in order; `next` continues after them and is None on the last page."""

    items: list[Product]
    next: Query | None
