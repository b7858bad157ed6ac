"""Lists every recorded change of a product, in pages or as one stream."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from connection_pool import Connection
from price_history.db.chunks import Chunk, following_chunks
from price_history.db.engine import Database
from price_history.db.reading import find_product, offer_ids
from price_history.domain.instants import to_datetime, to_instant
from price_history.domain.offers import OfferChange

CHUNKS_AT_ONCE: Final = 20
"""Chunks read at once: some 2,000 changes."""
STREAMED_AT_ONCE: Final = 2_000
"""Changes in one batch of a stream."""


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
        items: list[HistoryItem] = []
        async with self._database.querying() as connection:
            product = await find_product(connection, product_id)
            # What is older may still be there, in a chunk that reaches beyond, but without the offers that ended then.
            if product.kept_since is not None and to_instant(begin.at) < product.kept_since:
                begin = Position(to_datetime(product.kept_since), 0)
            while True:
                # A chunk has a change at least, and one more than can be needed tells whether there is a next page.
                wanted = min(limit - len(items) + 1, CHUNKS_AT_ONCE)
                chunks = await following_chunks(connection, product.number, begin.at, wanted)
                found, following = _cut(chunks, begin, to_instant(until), limit - len(items))
                items += await _with_ids(connection, product.number, found)
                if following is not None or len(chunks) < wanted:
                    return HistoryPage(items, following)
                begin = Position(to_datetime(chunks[-1].ends + 1), 0)

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
    chunks: Iterable[Chunk], begin: Position, until: int, limit: int
) -> tuple[list[tuple[datetime, OfferChange]], Position | None]:
    """The first `limit` changes from `begin` up to and including `until`, and where the one after them is, if any."""
    found: list[tuple[datetime, OfferChange]] = []
    since = to_instant(begin.at)
    for chunk in chunks:
        rows = chunk.rows()
        for instant, row in zip(chunk.instants(rows), rows, strict=True):
            if instant < since:
                continue
            if instant > until:
                return found, None
            at = to_datetime(instant)
            for index, change in enumerate(row.changes):
                if instant == since and index < begin.skip:
                    continue
                if len(found) == limit:
                    return found, Position(at, index)
                found.append((at, change))
    return found, None


async def _with_ids(
    connection: Connection, product_no: int, found: list[tuple[datetime, OfferChange]]
) -> list[HistoryItem]:
    if not found:
        return []
    ids = await offer_ids(connection, product_no, list({number for _, (number, _, _) in found}))
    return [HistoryItem(at, ids[number], price, stock) for at, (number, price, stock) in found]
