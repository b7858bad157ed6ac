"""Lists every recorded change of a product, in pages or as one stream."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from price_history.db.engine import Database
from price_history.db.reading import ObservedChanges, changes_page, find_product, offer_ids
from price_history.domain.offers import OfferChange

ROWS_AT_ONCE: Final = 500
"""Rows read at once; ten thousand offers that all change make a row of 75 kB."""
STREAMED_AT_ONCE: Final = 2_000
"""Changes in one batch of a stream."""
_MICROSECOND: Final = timedelta(microseconds=1)


class HistoryItem(NamedTuple):
    """From `at` on the offer had this price and stock; None and None when it ended."""

    at: datetime
    offer_id: str
    price: int | None
    items_in_stock: int | None


class Position(NamedTuple):
    """Where a page begins: at the change `skip` of those observed at `at`, or at what follows."""

    at: datetime
    skip: int


class HistoryPage(NamedTuple):
    """Changes in their order, and where the next page begins, if there is one."""

    items: list[HistoryItem]
    next: Position | None


EMPTY_PAGE: Final = HistoryPage([], None)
"""Of what has no recorded changes."""


class ReadHistory:
    """The recorded changes of products, oldest first, and by offer id among those observed together.

    No connection is held between pages, so a slow reader of a stream holds nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, product_id: UUID, begin: Position, until: datetime, limit: int) -> HistoryPage:
        """At most `limit` changes from `begin` to `until`, both included.

        Raises:
            UnknownProductError: see there.
            DatabaseUnavailableError: the database does not answer.
        """
        # One row more than can be needed tells whether there is a next page.
        rows = min(limit + 1, ROWS_AT_ONCE)
        items: list[HistoryItem] = []
        async with self._database.reading() as connection:
            product_no = (await find_product(connection, product_id)).number
            while True:
                observed = await changes_page(connection, product_no, begin.at, until, rows)
                found, following = _cut(observed, begin, limit - len(items))
                items += await _with_ids(connection, product_no, found)
                if following is not None or len(observed) < rows:
                    return HistoryPage(items, following)
                begin = Position(observed[-1].at + _MICROSECOND, 0)

    async def stream(self, product_id: UUID, since: datetime, until: datetime) -> AsyncIterator[list[HistoryItem]]:
        """Everything from `since` to `until`, both included, in batches; at least one, which may be empty.

        Raises:
            UnknownProductError, DatabaseUnavailableError: as above, before the first batch or between two.
        """
        begin: Position | None = Position(since, 0)
        while begin is not None:
            items, begin = await self.page(product_id, begin, until, STREAMED_AT_ONCE)
            yield items


def _cut(
    observed: list[ObservedChanges], begin: Position, limit: int
) -> tuple[list[tuple[datetime, OfferChange]], Position | None]:
    """The first `limit` changes from `begin` on, and the position of the one after them, if there is one."""
    found: list[tuple[datetime, OfferChange]] = []
    for row in observed:
        for index, change in enumerate(row.changes):
            if row.at == begin.at and index < begin.skip:
                continue
            if len(found) == limit:
                return found, Position(row.at, index)
            found.append((row.at, change))
    return found, None


async def _with_ids(
    connection: AsyncConnection, product_no: int, found: list[tuple[datetime, OfferChange]]
) -> list[HistoryItem]:
    if not found:
        return []
    ids = await offer_ids(connection, product_no, list({number for _, (number, _, _) in found}))
    return [HistoryItem(at, ids[number], price, stock) for at, (number, price, stock) in found]
