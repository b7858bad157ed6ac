"""Reads history back: the changes of a product's best price, of one offer's price, and of everything."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import unpack_changes, unpack_state
from price_history.domain.errors import DeletedProductError, UnknownProductError
from price_history.domain.instants import to_datetime, to_instant
from price_history.domain.offers import OfferChange
from price_history.domain.window import Window

PAGE_ROWS: Final = 10_000
"""Rows read at once: a day and a week of minutes in one go, a year in bounded memory."""

Basis = Literal["best_in_stock", "best"]

_PRODUCT: Final = sa.text("SELECT product_no, deleted_at FROM products WHERE product_id = :id")

_OFFER_NOS: Final = sa.text("SELECT offer_no FROM offers WHERE product_no = :product_no AND offer_id = :offer_id")

_OFFER_IDS: Final = sa.text("""
SELECT offer_no, offer_id FROM offers WHERE product_no = :product_no AND offer_no = ANY(CAST(:offer_nos AS int[]))
""")

_BASIS_COLUMN: Final[dict[Basis, str]] = {
    "best_in_stock": "best_in_stock",
    "best": "coalesce(best_out_of_stock, best_in_stock)",
}

# From the last row at or before the window's start, whose price is carried into it: one probe backwards, then one
# index range scan for each month.
_BEST_FROM_CARRIED: Final = {
    basis: sa.text(f"""
SELECT at, {column} FROM price_changes
WHERE product_no = :product_no AND at <= :until AND at >= coalesce(
  (SELECT at FROM price_changes WHERE product_no = :product_no AND at <= :since ORDER BY at DESC LIMIT 1), :since)
ORDER BY at LIMIT :rows
""")  # noqa: S608 - our own constants
    for basis, column in _BASIS_COLUMN.items()
}
_BEST_AFTER: Final = {
    basis: sa.text(f"""
SELECT at, {column} FROM price_changes
WHERE product_no = :product_no AND at > :since AND at <= :until ORDER BY at LIMIT :rows
""")  # noqa: S608 - our own constants
    for basis, column in _BASIS_COLUMN.items()
}

# From the last keyframe at or before the window's start, at most KEYFRAME_EVERY rows back.
_OFFERS_FROM_KEYFRAME: Final = sa.text("""
SELECT at, changes, state FROM price_changes
WHERE product_no = :product_no AND at <= :until AND at >= coalesce(
  (SELECT at FROM price_changes WHERE product_no = :product_no AND at <= :since AND state IS NOT NULL
   ORDER BY at DESC LIMIT 1), :since)
ORDER BY at LIMIT :rows
""")
_OFFERS_AFTER: Final = sa.text("""
SELECT at, changes, state FROM price_changes
WHERE product_no = :product_no AND at > :since AND at <= :until ORDER BY at LIMIT :rows
""")

_CHANGES: Final = sa.text("""
SELECT at, changes FROM price_changes
WHERE product_no = :product_no AND at >= :since AND at <= :until ORDER BY at LIMIT :rows
""")


class ObservedChanges(NamedTuple):
    """The recorded changes of one observation."""

    at: datetime
    changes: list[OfferChange]


class PricePage(NamedTuple):
    """Prices in their order, `(at, price)`, each from `at` on, and where the next page goes on, if there is one."""

    prices: list[tuple[int, int | None]]
    next_after: int | None


async def find_product(connection: AsyncConnection, product_id: UUID) -> int:
    """The product's number.

    Raises:
        UnknownProductError: there is no such product, or it was deleted.
    """
    found = (await connection.execute(_PRODUCT, {"id": product_id})).one_or_none()
    if found is None:
        raise UnknownProductError
    if found.deleted_at is not None:
        raise DeletedProductError
    number: int = found.product_no
    return number


async def find_offer(connection: AsyncConnection, product_no: int, offer_id: str) -> frozenset[int]:
    """The numbers of the offer's lives; empty when the product has had no such offer."""
    if "\x00" in offer_id:
        return frozenset()
    return frozenset(await connection.scalars(_OFFER_NOS, {"product_no": product_no, "offer_id": offer_id}))


async def offer_ids(connection: AsyncConnection, product_no: int, offer_nos: Sequence[int]) -> dict[int, str]:
    """The ids of a product's offers by number."""
    rows = await connection.execute(_OFFER_IDS, {"product_no": product_no, "offer_nos": offer_nos})
    return {number: offer_id for number, offer_id in rows}  # noqa: C416 - rows are no pairs to the type checker


async def best_price_page(
    connection: AsyncConnection, product_no: int, basis: Basis, window: Window, after: int | None
) -> PricePage:
    """The next page of a product's best prices; the first one begins with the price carried in."""
    query = _BEST_FROM_CARRIED if after is None else _BEST_AFTER
    rows = await connection.execute(query[basis], _page(product_no, window, after))
    prices = [(to_instant(at), price) for at, price in rows]
    return PricePage(prices, prices[-1][0] if len(prices) == PAGE_ROWS else None)


async def offer_price_page(
    connection: AsyncConnection, product_no: int, offer_nos: frozenset[int], window: Window, after: int | None
) -> PricePage:
    """The next page of one offer's prices; the first one begins with the price carried in."""
    query = _OFFERS_FROM_KEYFRAME if after is None else _OFFERS_AFTER
    rows = (await connection.execute(query, _page(product_no, window, after))).all()
    prices: list[tuple[int, int | None]] = []
    for at, changes, state in rows:
        if state is not None:
            everything = unpack_state(state)
            price = next((everything[number] for number in offer_nos if number in everything), None)
            prices.append((to_instant(at), price))
        else:
            prices += [(to_instant(at), price) for number, price, _ in unpack_changes(changes) if number in offer_nos]
    return PricePage(prices, to_instant(rows[-1][0]) if len(rows) == PAGE_ROWS else None)


async def changes_page(
    connection: AsyncConnection, product_no: int, since: datetime, until: datetime, rows: int
) -> list[ObservedChanges]:
    """The recorded changes from `since` to `until`, both included, oldest first; at most `rows` observations."""
    found = await connection.execute(_CHANGES, {"product_no": product_no, "since": since, "until": until, "rows": rows})
    return [ObservedChanges(at, unpack_changes(changes)) for at, changes in found]


def _page(product_no: int, window: Window, after: int | None) -> dict[str, object]:
    return {
        "product_no": product_no,
        "since": to_datetime(window.start if after is None else after),
        "until": to_datetime(window.end),
        "rows": PAGE_ROWS,
    }
