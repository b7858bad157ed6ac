"""Reads history back: the changes of a product's best price, of one offer's price, and of everything."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.packing import unpack_changes, unpack_state
from price_history.domain.errors import DeletedProductError, UnknownProductError
from price_history.domain.instants import to_datetime
from price_history.domain.offers import OfferChange
from price_history.domain.window import Window

PAGE_ROWS: Final = 10_000
"""Rows read at once: a week of minutes in one go, years in bounded memory."""

Basis = Literal["best_in_stock", "best"]

_PRODUCT: Final = sa.text("SELECT product_no, deleted_at FROM products WHERE product_id = :id")

_OFFER_NOS: Final = sa.text("SELECT offer_no FROM offers WHERE product_no = :product_no AND offer_id = :offer_id")

_OFFER_IDS: Final = sa.text("""
SELECT offer_no, offer_id FROM offers WHERE product_no = :product_no AND offer_no = ANY(CAST(:offer_nos AS int[]))
""")

_CHANGES: Final = sa.text("""
SELECT at, changes FROM price_changes
WHERE product_no = :product_no AND at >= :since AND at <= :until ORDER BY at LIMIT :rows
""")

# What a trend reads goes to the driver without SQLAlchemy, and instants come as numbers: a day of minutes takes 0.6 ms
# instead of 2. In one month a row is found by one probe of an index; in all of them by one of each, so the day before
# is tried first.
_INSTANT: Final = "(extract(epoch FROM at) * 1000000)::bigint"
_LAST_ROW: Final = """
SELECT at FROM price_changes WHERE product_no = $1 AND at <= $2 AND at > $3 ORDER BY at DESC LIMIT 1
"""
_LAST_KEYFRAME: Final = """
SELECT at FROM price_changes WHERE product_no = $1 AND at <= $2 AND at > $3 AND state IS NOT NULL
ORDER BY at DESC LIMIT 1
"""
_PAGE: Final = "FROM price_changes WHERE product_no = $1 AND at >= $2 AND at <= $3 ORDER BY at LIMIT $4"
_BEST_PRICES: Final[dict[Basis, str]] = {
    "best_in_stock": f"SELECT {_INSTANT}, best_in_stock {_PAGE}",
    "best": f"SELECT {_INSTANT}, coalesce(best_out_of_stock, best_in_stock) {_PAGE}",
}
_OFFER_CHANGES: Final = f"SELECT {_INSTANT}, changes, state {_PAGE}"

_NEAR: Final = timedelta(days=1)
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class ObservedChanges(NamedTuple):
    """The recorded changes of one observation, unpacked when they are wanted: a page may need only the first."""

    at: datetime
    packed: bytes

    @property
    def changes(self) -> list[OfferChange]:
        """In their order."""
        return unpack_changes(self.packed)


Prices: TypeAlias = list[tuple[int, int | None]]
"""Prices in their order, `(at, price)`, each from `at` on."""


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


async def best_prices(
    connection: AsyncConnection, product_no: int, basis: Basis, window: Window
) -> AsyncIterator[Prices]:
    """A product's best prices in pages, from the one carried into the window on."""
    driver = await _driver(connection)
    begin = await _begin(driver, _LAST_ROW, product_no, window)
    async for rows in _pages(driver, _BEST_PRICES[basis], product_no, begin, window):
        yield rows


async def offer_prices(
    connection: AsyncConnection, product_no: int, offer_nos: frozenset[int], window: Window
) -> AsyncIterator[Prices]:
    """One offer's prices in pages, from before the one carried into the window on.

    They begin at the last keyframe before the window, which is at most KEYFRAME_EVERY rows back.
    """
    driver = await _driver(connection)
    begin = await _begin(driver, _LAST_KEYFRAME, product_no, window)
    async for rows in _pages(driver, _OFFER_CHANGES, product_no, begin, window):
        yield [found for at, changes, state in rows for found in _of_offer(offer_nos, at, changes, state)]


def _of_offer(
    offer_nos: frozenset[int], at: int, changes: bytes, state: bytes | None
) -> Iterable[tuple[int, int | None]]:
    if state is not None:
        prices = unpack_state(state)
        return ((at, next((prices[number] for number in offer_nos if number in prices), None)),)
    return [(at, price) for number, price, _ in unpack_changes(changes) if number in offer_nos]


async def _begin(driver: Any, query: str, product_no: int, window: Window) -> datetime:
    """When the last row of the query at or before the window's start was; the start itself when there is none."""
    start = to_datetime(window.start)
    for after in (start - _NEAR, _EVER):
        found: datetime | None = await driver.fetchval(query, product_no, start, after)
        if found is not None:
            return found
    return start


async def _pages(driver: Any, query: str, product_no: int, begin: datetime, window: Window) -> AsyncIterator[list[Any]]:
    until = to_datetime(window.end)
    while True:
        rows: list[Any] = await driver.fetch(query, product_no, begin, until, PAGE_ROWS)
        yield rows
        if len(rows) < PAGE_ROWS:
            return
        begin = to_datetime(rows[-1][0] + 1)


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def changes_page(
    connection: AsyncConnection, product_no: int, since: datetime, until: datetime, rows: int
) -> list[ObservedChanges]:
    """The recorded changes from `since` to `until`, both included, oldest first; at most `rows` observations."""
    found = await connection.execute(_CHANGES, {"product_no": product_no, "since": since, "until": until, "rows": rows})
    return [ObservedChanges(at, packed) for at, packed in found]
