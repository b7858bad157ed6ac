"""Reads back which products and offers there are."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from connection_pool import Connection
from price_history.domain.errors import DeletedProductError, UnknownProductError
from price_history.domain.instants import to_instant

_PRODUCT: Final = """
SELECT product_no, deleted_at, (SELECT kept_since FROM retention) FROM products WHERE product_id = $1
"""
_OFFER_NOS: Final = "SELECT offer_no FROM offers WHERE product_no = $1 AND offer_id = $2"
_OFFER_IDS: Final = "SELECT offer_no, offer_id FROM offers WHERE product_no = $1 AND offer_no = ANY($2::int[])"


class FoundProduct(NamedTuple):
    """A product's number, and the instant since when every single change of prices is kept (None: always)."""

    number: int
    kept_since: int | None

    @classmethod
    def of(cls, row: Iterable[Any] | None) -> Self:
        """From the columns product_no, deleted_at and kept_since.

        Raises:
            UnknownProductError: there is no such product, or it was deleted.
        """
        if row is None:
            raise UnknownProductError
        number, deleted_at, kept_since = row
        if deleted_at is not None:
            raise DeletedProductError
        return cls(number, None if kept_since is None else to_instant(kept_since))


async def find_product(connection: Connection, product_id: UUID) -> FoundProduct:
    """What is to be known before its history is read.

    Raises:
        UnknownProductError: there is no such product, or it was deleted.
    """
    return FoundProduct.of(await connection.fetchrow(_PRODUCT, product_id))


async def find_offer(connection: Connection, product_no: int, offer_id: str) -> frozenset[int]:
    """The numbers of the offer's lives; empty when the product has had no such offer."""
    if "\x00" in offer_id:
        return frozenset()
    return frozenset([number for (number,) in await connection.fetch(_OFFER_NOS, product_no, offer_id)])


async def offer_ids(connection: Connection, product_no: int, offer_nos: Sequence[int]) -> dict[int, str]:
    """The ids of a product's offers by number."""
    rows = await connection.fetch(_OFFER_IDS, product_no, offer_nos)
    return {number: offer_id for number, offer_id in rows}  # noqa: C416 - rows are no pairs to the type checker
