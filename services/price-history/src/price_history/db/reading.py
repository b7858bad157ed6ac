"""Reads back which products and offers there are."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.domain.errors import DeletedProductError, UnknownProductError
from price_history.domain.instants import to_instant

_PRODUCT: Final = sa.text("""
SELECT product_no, deleted_at, (SELECT kept_since FROM retention) FROM products WHERE product_id = :id
""")

_OFFER_NOS: Final = sa.text("SELECT offer_no FROM offers WHERE product_no = :product_no AND offer_id = :offer_id")

_OFFER_IDS: Final = sa.text("""
SELECT offer_no, offer_id FROM offers WHERE product_no = :product_no AND offer_no = ANY(CAST(:offer_nos AS int[]))
""")


class FoundProduct(NamedTuple):
    """A product's number, and the instant since when every single change of prices is kept (None: always)."""

    number: int
    kept_since: int | None


async def find_product(connection: AsyncConnection, product_id: UUID) -> FoundProduct:
    """What is to be known before its history is read.

    Raises:
        UnknownProductError: there is no such product, or it was deleted.
    """
    found = (await connection.execute(_PRODUCT, {"id": product_id})).one_or_none()
    if found is None:
        raise UnknownProductError
    if found.deleted_at is not None:
        raise DeletedProductError
    return FoundProduct(found.product_no, None if found.kept_since is None else to_instant(found.kept_since))


async def find_offer(connection: AsyncConnection, product_no: int, offer_id: str) -> frozenset[int]:
    """The numbers of the offer's lives; empty when the product has had no such offer."""
    if "\x00" in offer_id:
        return frozenset()
    return frozenset(await connection.scalars(_OFFER_NOS, {"product_no": product_no, "offer_id": offer_id}))


async def offer_ids(connection: AsyncConnection, product_no: int, offer_nos: Sequence[int]) -> dict[int, str]:
    """The ids of a product's offers by number."""
    rows = await connection.execute(_OFFER_IDS, {"product_no": product_no, "offer_nos": offer_nos})
    return {number: offer_id for number, offer_id in rows}  # noqa: C416 - rows are no pairs to the type checker
